/* Opens a file of packets with libsrtp, and says how many nanoseconds that took.
 *
 *   number of the suite (1), key and salt (46, zeros behind), then for each packet: size (2), octets
 */
#include "../../media-engine/srtp/tests/libsrtp_suites.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint8_t file[64 << 20];

static uint64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000u + at.tv_nsec;
}

int main(int count, char **arguments) {
  static uint8_t packet[2048] __attribute__((aligned(16)));
  FILE *in = count == 2 ? fopen(arguments[1], "rb") : NULL;
  srtp_policy_t policy;
  srtp_t session;
  if (!in)
    return 2;
  size_t size = fread(file, 1, sizeof file, in);
  memset(&policy, 0, sizeof policy);
  if (srtp_init() != srtp_err_status_ok)
    return 2;
  set_suite(&policy, file[0]);
  policy.ssrc.type = ssrc_any_inbound;
  policy.key = file + 1;
  policy.window_size = 256;
  if (srtp_create(&session, &policy) != srtp_err_status_ok)
    return 2;
  uint64_t begin = now();
  for (size_t at = 47; at + 2 <= size;) {
    int length = file[at] | file[at + 1] << 8;
    memcpy(packet, file + at + 2, length);
    at += 2 + length;
    if (srtp_unprotect(session, packet, &length) != srtp_err_status_ok)
      return 3;
  }
  printf("%llu\n", (unsigned long long)(now() - begin));
  return 0;
}
