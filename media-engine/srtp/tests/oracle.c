/* libsrtp behind a pipe, for tests/oracle.rs.
 *
 *   in:  command (1), size (2, little-endian), octets        out: size (2), octets; empty: refused
 *   k: number of the suite, then key and salt      p, P: protect RTP, RTCP      u, U: unprotect them
 */
#include "libsrtp_suites.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static srtp_t outbound, inbound;

static srtp_t session(uint8_t suite, uint8_t *key, srtp_ssrc_type_t direction) {
  srtp_policy_t policy;
  srtp_t made;
  memset(&policy, 0, sizeof policy);
  set_suite(&policy, suite);
  if (suite == 4)
    srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy.rtcp);
  if (suite > 4)
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
  policy.ssrc.type = direction;
  policy.key = key;
  policy.window_size = 1024;
  if (srtp_create(&made, &policy) != srtp_err_status_ok)
    exit(2);
  return made;
}

int main(void) {
  static uint8_t buffer[70000] __attribute__((aligned(16)));
  uint8_t head[3];
  if (srtp_init() != srtp_err_status_ok)
    return 2;
  while (fread(head, 1, 3, stdin) == 3) {
    int size = head[1] | head[2] << 8;
    srtp_err_status_t status = srtp_err_status_ok;
    if (size > 65000 || fread(buffer, 1, size, stdin) != (size_t)size)
      return 2;
    switch (head[0]) {
    case 'k':
      outbound = session(buffer[0], buffer + 1, ssrc_any_outbound);
      inbound = session(buffer[0], buffer + 1, ssrc_any_inbound);
      memcpy(buffer, "ok", size = 2);
      break;
    case 'p': status = srtp_protect(outbound, buffer, &size); break;
    case 'u': status = srtp_unprotect(inbound, buffer, &size); break;
    case 'P': status = srtp_protect_rtcp(outbound, buffer, &size); break;
    case 'U': status = srtp_unprotect_rtcp(inbound, buffer, &size); break;
    default: return 2;
    }
    if (status != srtp_err_status_ok)
      size = 0;
    head[0] = size & 0xff;
    head[1] = size >> 8;
    fwrite(head, 1, 2, stdout);
    fwrite(buffer, 1, size, stdout);
    fflush(stdout);
  }
  return 0;
}
