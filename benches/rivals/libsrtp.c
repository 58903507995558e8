/* Opens a file of packets with libsrtp, and says how many nanoseconds that took.
 *
 *   number of the suite (1), key and salt (46, zeros behind), then for each packet: size (2), octets
 */
#include <srtp2/srtp.h>
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
  switch (file[0]) { /* In the order of SrtpSuite::ALL. */
  case 0: srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtp); break;
  case 1: srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp); break;
  case 2: srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy.rtp); break;
  case 3: srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp); break;
  case 4: srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(&policy.rtp); break;
  default: srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&policy.rtp); break;
  }
  policy.rtcp = policy.rtp;
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
