/* How libsrtp calls the suites. */
#ifdef LIBSRTP_UNINSTALLED
#include <srtp.h>
#else
#include <srtp2/srtp.h>
#endif

/* The suite of this number, in the order of SrtpSuite::ALL, for RTP and RTCP alike. */
static void set_suite(srtp_policy_t *policy, uint8_t suite) {
  switch (suite) {
  case 0: srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy->rtp); break;
  case 1: srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtp); break;
  case 2: srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy->rtp); break;
  case 3: srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy->rtp); break;
  case 4: srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(&policy->rtp); break;
  default: srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&policy->rtp); break;
  }
  policy->rtcp = policy->rtp;
}
