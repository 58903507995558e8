//! An assembler for classic BPF: instructions with labels in place of distances.
//!
//! Only what the programs of the ring need. Jumps go forward, as the kernel demands, and a label that
//! is out of reach or was never placed is a mistake of ours: it panics where the program is made.

use libc::sock_filter;

/// A place in a program that may be jumped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program being written.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    steps: Vec<Step>,
    places: Vec<Option<usize>>,
}

#[derive(Debug)]
struct Step {
    code: u32,
    k: u32,
    /// Where to go if the condition holds, and if not; `None` goes on with the next step.
    then: Option<Label>,
    otherwise: Option<Label>,
}

impl Assembler {
    /// A label that is to be placed later.
    pub fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// Places a label before the next step.
    pub fn place(&mut self, label: Label) {
        self.places[label.0] = Some(self.steps.len());
    }

    /// A = the octet at this offset.
    pub fn load_byte(&mut self, offset: u32) {
        self.plain(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, offset);
    }

    /// A = the 16 bits at this offset, in network order.
    pub fn load_half(&mut self, offset: u32) {
        self.plain(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, offset);
    }

    /// A = what the kernel knows of the packet: one of `SKF_AD_…`.
    pub fn load_ancillary(&mut self, what: i32) {
        let offset = (libc::SKF_AD_OFF + what) as u32;
        self.plain(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    }

    /// A = the octet at X + this offset.
    pub fn load_byte_at_x(&mut self, offset: u32) {
        self.plain(libc::BPF_LD | libc::BPF_B | libc::BPF_IND, offset);
    }

    /// A = the 16 bits at X + this offset, in network order.
    pub fn load_half_at_x(&mut self, offset: u32) {
        self.plain(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, offset);
    }

    /// X = 4 times the low 4 bits of the octet at this offset: the length of an IPv4 header.
    pub fn load_x_ipv4_length(&mut self, offset: u32) {
        self.plain(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, offset);
    }

    /// X = a number.
    pub fn set_x(&mut self, value: u32) {
        self.plain(libc::BPF_LDX | libc::BPF_IMM, value);
    }

    /// X = A.
    pub fn a_to_x(&mut self) {
        self.plain(libc::BPF_MISC | libc::BPF_TAX, 0);
    }

    /// A = X.
    pub fn x_to_a(&mut self) {
        self.plain(libc::BPF_MISC | libc::BPF_TXA, 0);
    }

    /// Keeps A in a cell of the scratch memory.
    pub fn store(&mut self, cell: u32) {
        self.plain(libc::BPF_ST, cell);
    }

    /// A = a cell of the scratch memory.
    pub fn load(&mut self, cell: u32) {
        self.plain(libc::BPF_LD | libc::BPF_MEM, cell);
    }

    /// A += a number.
    pub fn add(&mut self, value: u32) {
        self.plain(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K, value);
    }

    /// A += X.
    pub fn add_x(&mut self) {
        self.plain(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X, 0);
    }

    /// A -= a number.
    pub fn subtract(&mut self, value: u32) {
        self.plain(libc::BPF_ALU | libc::BPF_SUB | libc::BPF_K, value);
    }

    /// A /= a number, which is not 0.
    pub fn divide(&mut self, value: u32) {
        self.plain(libc::BPF_ALU | libc::BPF_DIV | libc::BPF_K, value);
    }

    /// A <<= a number.
    pub fn shift_left(&mut self, bits: u32) {
        self.plain(libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K, bits);
    }

    /// Goes to the label.
    pub fn jump(&mut self, to: Label) {
        self.step(libc::BPF_JMP | libc::BPF_JA, 0, Some(to), None);
    }

    /// Goes to the label if A is this number.
    pub fn if_equal(&mut self, value: u32, to: Label) {
        self.step(EQUAL, value, Some(to), None);
    }

    /// Goes to the label unless A is this number.
    pub fn unless_equal(&mut self, value: u32, to: Label) {
        self.step(EQUAL, value, None, Some(to));
    }

    /// Goes to the label if A has one of these bits.
    pub fn if_any_bit(&mut self, bits: u32, to: Label) {
        let code = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
        self.step(code, bits, Some(to), None);
    }

    /// Goes to the label unless `first <= A <= last`.
    pub fn unless_within(&mut self, first: u32, last: u32, to: Label) {
        let at_least = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
        self.step(at_least, first, None, Some(to));
        let above = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
        self.step(above, last, Some(to), None);
    }

    /// Ends with a number.
    pub fn answer(&mut self, value: u32) {
        self.plain(libc::BPF_RET | libc::BPF_K, value);
    }

    /// Ends with A.
    pub fn answer_a(&mut self) {
        self.plain(libc::BPF_RET | BPF_A, 0);
    }

    /// The program.
    ///
    /// # Panics
    ///
    /// A label that was not placed, or lies behind or too far ahead.
    pub fn finish(self) -> Vec<sock_filter> {
        let Self { steps, places } = self;
        let distance = |from: usize, label: Option<Label>| {
            let Some(label) = label else { return 0 };
            let to = places[label.0].expect("every label is placed");
            u8::try_from(to - from - 1).expect("a jump is short and forward")
        };
        let assemble = |(at, step): (usize, &Step)| {
            let (then, otherwise) = (distance(at, step.then), distance(at, step.otherwise));
            let code = step.code as u16;
            // A jump without a condition has its distance elsewhere.
            let (jt, jf, k) = match step.code == libc::BPF_JMP | libc::BPF_JA {
                true => (0, 0, u32::from(then)),
                false => (then, otherwise, step.k),
            };
            sock_filter { code, jt, jf, k }
        };
        steps.iter().enumerate().map(assemble).collect()
    }

    fn plain(&mut self, code: u32, k: u32) {
        self.step(code, k, None, None);
    }

    fn step(&mut self, code: u32, k: u32, then: Option<Label>, otherwise: Option<Label>) {
        let step = Step {
            code,
            k,
            then,
            otherwise,
        };
        self.steps.push(step);
    }
}

const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;

/// The accumulator as the source of an answer (`linux/filter.h`; the crate libc leaves it out).
const BPF_A: u32 = 0x10;
