//! G.711: the two laws as linear samples, to measure levels and to bring mixed laws together.
//!
//! Recordings keep the octets as they came; nothing here encodes.

/// The mu-law octet for a sample of zero.
pub const ULAW_SILENCE: u8 = 0xff;

/// The A-law octet for the sample next to zero.
pub const ALAW_SILENCE: u8 = 0xd5;

/// Linear 16-bit sample of each mu-law octet (ITU-T G.711 table 2, scaled to 16 bits).
pub static ULAW_TO_LINEAR: [i16; 256] = ulaw_table();

/// Linear 16-bit sample of each A-law octet (ITU-T G.711 table 1, scaled to 16 bits).
pub static ALAW_TO_LINEAR: [i16; 256] = alaw_table();

const ULAW_BIAS: i16 = 0x84;

const fn ulaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let code = !(octet as u8);
        let exponent = (code >> 4) & 7;
        let mantissa = (code & 0x0f) as i16;
        let magnitude = (((mantissa << 3) + ULAW_BIAS) << exponent) - ULAW_BIAS;
        table[octet] = if code & 0x80 != 0 {
            -magnitude
        } else {
            magnitude
        };
        octet += 1;
    }
    table
}

const fn alaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        // Every other bit is inverted on the line.
        let code = octet as u8 ^ 0x55;
        let exponent = (code >> 4) & 7;
        let mantissa = ((code & 0x0f) as i16) << 4;
        let magnitude = match exponent {
            0 => mantissa + 8,
            _ => (mantissa + 0x108) << (exponent - 1),
        };
        table[octet] = if code & 0x80 != 0 {
            magnitude
        } else {
            -magnitude
        };
        octet += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_of_both_laws() {
        for (octet, sample) in [
            (0xff, 0),
            (0x7f, 0),
            (0x80, 32_124),
            (0x00, -32_124),
            (0xf0, 120),
        ] {
            assert_eq!(ULAW_TO_LINEAR[octet], sample, "mu-law {octet:#x}");
        }
        for (octet, sample) in [
            (0xd5, 8),
            (0x55, -8),
            (0xaa, 32_256),
            (0x2a, -32_256),
            (0xc5, 264),
            (0xda, 248),
        ] {
            assert_eq!(ALAW_TO_LINEAR[octet], sample, "A-law {octet:#x}");
        }
    }

    #[test]
    fn laws_are_odd_and_rise_with_the_code() {
        for code in 0..127 {
            assert_eq!(ULAW_TO_LINEAR[code], -ULAW_TO_LINEAR[code | 0x80]);
            assert_eq!(ALAW_TO_LINEAR[code], -ALAW_TO_LINEAR[code | 0x80]);
            assert!(ULAW_TO_LINEAR[code] < ULAW_TO_LINEAR[code + 1], "{code}");
            let rising = |code: usize| ALAW_TO_LINEAR[(code | 0x80) ^ 0x55];
            assert!(rising(code) < rising(code + 1), "{code}");
        }
    }

    #[test]
    fn silence_is_the_quietest_octet() {
        assert_eq!(ULAW_TO_LINEAR[usize::from(ULAW_SILENCE)], 0);
        let quietest = ALAW_TO_LINEAR
            .iter()
            .map(|sample| sample.unsigned_abs())
            .min();
        assert_eq!(
            Some(ALAW_TO_LINEAR[usize::from(ALAW_SILENCE)].unsigned_abs()),
            quietest
        );
    }
}
