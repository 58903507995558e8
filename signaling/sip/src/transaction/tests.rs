//! Every state times every input of the four machines, those that must do nothing included; then
//! random walks against a reference.

use super::*;
use crate::Bytes;
use crate::entropy::{Entropy, up_to};

const NOW: MonoTime = MonoTime(1_000_000_000);

fn bytes(text: &str) -> Bytes {
    text.as_bytes().into()
}

fn late() -> MonoTime {
    NOW + Duration::from_secs(1_000)
}

struct Rng(u64);

impl Entropy for Rng {
    fn fill(&mut self, out: &mut [u8]) {
        for octet in out {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *octet = (self.0 >> 33) as u8;
        }
    }
}

mod server_invite {
    use super::*;
    use ServerInviteEffect::{Expired, Nothing, PassAck, Trying, Unacknowledged};
    use ServerInviteInput::{Ack, Failure, Invite, Provisional, Success};

    fn in_state(name: &str) -> ServerInvite {
        let until = NOW + Duration::from_secs(180);
        let mut machine = ServerInvite::new(NOW, Timers::default(), Reliability::Unreliable, until);
        match name {
            "Proceeding" => {}
            "Accepted" => assert_eq!(machine.handle(NOW, Success), Nothing),
            "Completed" => assert_eq!(machine.handle(NOW, Failure(bytes("f"))), send("f")),
            "Confirmed" => {
                machine.handle(NOW, Failure(bytes("f")));
                machine.handle(NOW, Ack);
            }
            "Terminated" => {
                machine.handle(NOW, Success);
                machine.handle_timeout(late());
            }
            other => panic!("{other}"),
        }
        assert_eq!(machine.state_name(), name);
        machine
    }

    fn send(text: &str) -> ServerInviteEffect {
        ServerInviteEffect::Send(bytes(text))
    }

    #[test]
    fn every_state_and_input() {
        let table = [
            ("Proceeding", Invite, "Proceeding", Trying),
            ("Proceeding", Ack, "Proceeding", Nothing),
            (
                "Proceeding",
                Provisional(bytes("p")),
                "Proceeding",
                send("p"),
            ),
            ("Proceeding", Success, "Accepted", Nothing),
            ("Proceeding", Failure(bytes("x")), "Completed", send("x")),
            ("Accepted", Invite, "Accepted", Nothing),
            ("Accepted", Ack, "Accepted", PassAck),
            ("Accepted", Provisional(bytes("p")), "Accepted", Nothing),
            ("Accepted", Success, "Accepted", Nothing),
            ("Accepted", Failure(bytes("x")), "Accepted", Nothing),
            ("Completed", Invite, "Completed", send("f")),
            ("Completed", Ack, "Confirmed", Nothing),
            ("Completed", Provisional(bytes("p")), "Completed", Nothing),
            ("Completed", Success, "Completed", Nothing),
            ("Completed", Failure(bytes("x")), "Completed", Nothing),
            ("Confirmed", Invite, "Confirmed", Nothing),
            ("Confirmed", Ack, "Confirmed", Nothing),
            ("Confirmed", Provisional(bytes("p")), "Confirmed", Nothing),
            ("Confirmed", Success, "Confirmed", Nothing),
            ("Confirmed", Failure(bytes("x")), "Confirmed", Nothing),
            ("Terminated", Invite, "Terminated", Nothing),
            ("Terminated", Ack, "Terminated", Nothing),
            ("Terminated", Provisional(bytes("p")), "Terminated", Nothing),
            ("Terminated", Success, "Terminated", Nothing),
            ("Terminated", Failure(bytes("x")), "Terminated", Nothing),
        ];
        for (from, input, to, effect) in table {
            let mut machine = in_state(from);
            let label = format!("{from} {input:?}");
            assert_eq!(machine.handle(NOW, input), effect, "{label}");
            assert_eq!(machine.state_name(), to, "{label}");
        }
    }

    #[test]
    fn every_state_and_its_last_timer() {
        for (from, to, effect) in [
            ("Proceeding", "Proceeding", Expired),
            ("Accepted", "Terminated", Nothing),
            ("Completed", "Terminated", Unacknowledged),
            ("Confirmed", "Terminated", Nothing),
            ("Terminated", "Terminated", Nothing),
        ] {
            let mut machine = in_state(from);
            assert_eq!(machine.handle_timeout(late()), effect, "{from}");
            assert_eq!(machine.state_name(), to, "{from}");
        }
    }

    #[test]
    fn timers_of_each_state_and_transport() {
        let timers = Timers::default();
        let until = |machine: &ServerInvite| machine.poll_timeout().map(|at| at - NOW);
        assert_eq!(until(&in_state("Proceeding")), Some(timers.trying));
        assert_eq!(until(&in_state("Accepted")), Some(Duration::from_secs(32)));
        assert_eq!(until(&in_state("Completed")), Some(timers.t1));
        assert_eq!(until(&in_state("Confirmed")), Some(timers.t4));
        assert_eq!(until(&in_state("Terminated")), None);
        let mut reliable = ServerInvite::new(NOW, timers, Reliability::Reliable, late());
        reliable.handle(NOW, Failure(bytes("f")));
        assert_eq!(
            until(&reliable),
            Some(Duration::from_secs(32)),
            "no timer G"
        );
        reliable.handle(NOW, Ack);
        assert_eq!(until(&reliable), Some(Duration::ZERO), "no timer I");
    }
}

mod server {
    use super::*;
    use ServerEffect::{Expired, Nothing};
    use ServerInput::{Final, Request, TransportError, Trying};

    fn in_state(name: &str) -> Server {
        let mut machine = Server::new(NOW, Timers::default(), Reliability::Unreliable);
        match name {
            "Trying" => {}
            "Proceeding" => assert_eq!(machine.handle(NOW, Trying(bytes("t"))), send("t")),
            "Completed" => assert_eq!(machine.handle(NOW, Final(bytes("f"))), send("f")),
            "Terminated" => machine.abandon(),
            other => panic!("{other}"),
        }
        assert_eq!(machine.state_name(), name);
        machine
    }

    fn send(text: &str) -> ServerEffect {
        ServerEffect::Send(bytes(text))
    }

    #[test]
    fn every_state_and_input() {
        let table = [
            ("Trying", Request, "Trying", Nothing),
            ("Trying", Trying(bytes("x")), "Proceeding", send("x")),
            ("Trying", Final(bytes("x")), "Completed", send("x")),
            ("Trying", TransportError, "Terminated", Nothing),
            ("Proceeding", Request, "Proceeding", send("t")),
            ("Proceeding", Trying(bytes("x")), "Proceeding", Nothing),
            ("Proceeding", Final(bytes("x")), "Completed", send("x")),
            ("Proceeding", TransportError, "Terminated", Nothing),
            ("Completed", Request, "Completed", send("f")),
            ("Completed", Trying(bytes("x")), "Completed", Nothing),
            ("Completed", Final(bytes("x")), "Completed", Nothing),
            ("Completed", TransportError, "Terminated", Nothing),
            ("Terminated", Request, "Terminated", Nothing),
            ("Terminated", Trying(bytes("x")), "Terminated", Nothing),
            ("Terminated", Final(bytes("x")), "Terminated", Nothing),
            ("Terminated", TransportError, "Terminated", Nothing),
        ];
        for (from, input, to, effect) in table {
            let mut machine = in_state(from);
            let label = format!("{from} {input:?}");
            assert_eq!(machine.handle(NOW, input), effect, "{label}");
            assert_eq!(machine.state_name(), to, "{label}");
        }
    }

    #[test]
    fn every_state_and_its_timers() {
        for (from, after, to, effect) in [
            ("Trying", 4, "Trying", ServerEffect::Trying),
            ("Trying", 32, "Terminated", Expired),
            ("Proceeding", 32, "Terminated", Expired),
            ("Completed", 32, "Terminated", Nothing),
            ("Terminated", 32, "Terminated", Nothing),
        ] {
            let mut machine = in_state(from);
            let due = NOW + Duration::from_secs(after);
            assert_eq!(
                machine.handle_timeout(MonoTime(due.0 - 1)),
                match after {
                    // A second look at 32 s: the 100 at 4 s is overdue.
                    32 if from == "Trying" => ServerEffect::Trying,
                    _ => Nothing,
                }
            );
            assert_eq!(machine.handle_timeout(due), effect, "{from}");
            assert_eq!(machine.state_name(), to, "{from}");
        }
        let mut reliable = Server::new(NOW, Timers::default(), Reliability::Reliable);
        reliable.handle(NOW, Final(bytes("f")));
        assert_eq!(reliable.poll_timeout(), Some(NOW), "no timer J");
    }
}

mod client_invite {
    use super::*;
    use ClientInviteEffect::{Accept, AcceptAgain, Deliver, Failed, Nothing, TimedOut};
    use ClientInviteInput::{Failure, Provisional, Success, TransportError};

    fn in_state(name: &str) -> ClientInvite {
        let mut machine =
            ClientInvite::new(NOW, Timers::default(), Reliability::Unreliable, bytes("r"));
        match name {
            "Calling" => {}
            "Proceeding" => assert_eq!(machine.handle(NOW, Provisional), Deliver),
            "Accepted" => assert_eq!(machine.handle(NOW, Success), Accept),
            "Completed" => assert_eq!(machine.handle(NOW, Failure(bytes("a"))), both("a")),
            "Terminated" => assert_eq!(machine.handle(NOW, TransportError), Failed),
            other => panic!("{other}"),
        }
        assert_eq!(machine.state_name(), name);
        machine
    }

    fn both(text: &str) -> ClientInviteEffect {
        ClientInviteEffect::DeliverAndSend(bytes(text))
    }

    #[test]
    fn every_state_and_input() {
        let table = [
            ("Calling", Provisional, "Proceeding", Deliver),
            ("Calling", Success, "Accepted", Accept),
            ("Calling", Failure(bytes("x")), "Completed", both("x")),
            ("Calling", TransportError, "Terminated", Failed),
            ("Proceeding", Provisional, "Proceeding", Deliver),
            ("Proceeding", Success, "Accepted", Accept),
            ("Proceeding", Failure(bytes("x")), "Completed", both("x")),
            ("Proceeding", TransportError, "Terminated", Failed),
            ("Accepted", Provisional, "Accepted", Nothing),
            ("Accepted", Success, "Accepted", AcceptAgain),
            ("Accepted", Failure(bytes("x")), "Accepted", Nothing),
            ("Accepted", TransportError, "Accepted", Nothing),
            ("Completed", Provisional, "Completed", Nothing),
            ("Completed", Success, "Completed", Nothing),
            (
                "Completed",
                Failure(bytes("x")),
                "Completed",
                ClientInviteEffect::Send(bytes("a")),
            ),
            ("Completed", TransportError, "Terminated", Nothing),
            ("Terminated", Provisional, "Terminated", Nothing),
            ("Terminated", Success, "Terminated", Nothing),
            ("Terminated", Failure(bytes("x")), "Terminated", Nothing),
            ("Terminated", TransportError, "Terminated", Nothing),
        ];
        for (from, input, to, effect) in table {
            let mut machine = in_state(from);
            let label = format!("{from} {input:?}");
            assert_eq!(machine.handle(NOW, input), effect, "{label}");
            assert_eq!(machine.state_name(), to, "{label}");
        }
    }

    #[test]
    fn every_state_and_its_last_timer() {
        for (from, seconds, effect) in [
            ("Calling", 32, TimedOut),
            ("Proceeding", 180, TimedOut),
            ("Accepted", 32, Nothing),
            ("Completed", 32, Nothing),
            ("Terminated", 1, Nothing),
        ] {
            let mut machine = in_state(from);
            let due = NOW + Duration::from_secs(seconds);
            machine.handle_timeout(MonoTime(due.0 - 1));
            assert_eq!(machine.state_name(), from);
            assert_eq!(machine.handle_timeout(due), effect, "{from}");
            assert_eq!(machine.state_name(), "Terminated", "{from}");
        }
    }
}

mod client {
    use super::*;
    use ClientEffect::{Deliver, Failed, Nothing, TimedOut};
    use ClientInput::{Final, Provisional, TransportError};

    fn in_state(name: &str) -> Client {
        let mut machine = Client::new(NOW, Timers::default(), Reliability::Unreliable, bytes("r"));
        match name {
            "Trying" => {}
            "Proceeding" => assert_eq!(machine.handle(NOW, Provisional), Deliver),
            "Completed" => assert_eq!(machine.handle(NOW, Final), Deliver),
            "Terminated" => assert_eq!(machine.handle(NOW, TransportError), Failed),
            other => panic!("{other}"),
        }
        assert_eq!(machine.state_name(), name);
        machine
    }

    #[test]
    fn every_state_and_input() {
        let table = [
            ("Trying", Provisional, "Proceeding", Deliver),
            ("Trying", Final, "Completed", Deliver),
            ("Trying", TransportError, "Terminated", Failed),
            ("Proceeding", Provisional, "Proceeding", Deliver),
            ("Proceeding", Final, "Completed", Deliver),
            ("Proceeding", TransportError, "Terminated", Failed),
            ("Completed", Provisional, "Completed", Nothing),
            ("Completed", Final, "Completed", Nothing),
            ("Completed", TransportError, "Completed", Nothing),
            ("Terminated", Provisional, "Terminated", Nothing),
            ("Terminated", Final, "Terminated", Nothing),
            ("Terminated", TransportError, "Terminated", Nothing),
        ];
        for (from, input, to, effect) in table {
            let mut machine = in_state(from);
            assert_eq!(machine.handle(NOW, input), effect, "{from} {input:?}");
            assert_eq!(machine.state_name(), to, "{from} {input:?}");
        }
    }

    #[test]
    fn every_state_and_its_last_timer() {
        for (from, seconds, effect) in [
            ("Trying", 32, TimedOut),
            ("Proceeding", 32, TimedOut),
            ("Completed", 5, Nothing),
            ("Terminated", 1, Nothing),
        ] {
            let mut machine = in_state(from);
            let due = NOW + Duration::from_secs(seconds);
            machine.handle_timeout(MonoTime(due.0 - 1));
            assert_eq!(machine.state_name(), from);
            assert_eq!(machine.handle_timeout(due), effect, "{from}");
            assert_eq!(machine.state_name(), "Terminated", "{from}");
        }
    }

    /// §17.1.2.2: in Proceeding, timer E is T2 however few copies were sent before.
    #[test]
    fn copies_slow_down_after_a_provisional() {
        let mut machine = in_state("Proceeding");
        let mut at = Vec::new();
        while let Some(due) = machine
            .poll_timeout()
            .filter(|_| machine.state_name() == "Proceeding")
        {
            if machine.handle_timeout(due) == ClientEffect::Send(bytes("r")) {
                at.push((due - NOW).as_millis());
            }
        }
        assert_eq!(
            at,
            [500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500]
        );
    }
}

/// What a server INVITE transaction may do, in ten lines: provisional answers until one final;
/// then a failure and its copies until the ACK, or silence.
#[derive(Default)]
struct Reference {
    is_final: bool,
    failure: Option<Bytes>,
    is_confirmed: bool,
}

impl Reference {
    fn allows(&self, sent: &Bytes) -> bool {
        match (&self.failure, self.is_final) {
            (Some(failure), _) => failure == sent && !self.is_confirmed,
            (None, is_final) => !is_final,
        }
    }
}

#[test]
fn random_walks_of_a_server_invite_stay_within_the_reference() {
    for seed in 0..500 {
        let mut rng = Rng(seed);
        let reliability = match seed % 2 {
            0 => Reliability::Reliable,
            _ => Reliability::Unreliable,
        };
        let mut machine = ServerInvite::new(NOW, Timers::default(), reliability, late());
        let mut reference = Reference::default();
        let mut now = NOW;
        for step in 0..60 {
            let response = bytes(&format!("{step}"));
            let effect = match up_to(&mut rng, 7) {
                0 => machine.handle(now, ServerInviteInput::Invite),
                1 => {
                    reference.is_confirmed |= reference.failure.is_some();
                    machine.handle(now, ServerInviteInput::Ack)
                }
                2 => machine.handle(now, ServerInviteInput::Provisional(response)),
                3 if step > 20 => {
                    reference.is_final = true;
                    machine.handle(now, ServerInviteInput::Success)
                }
                4 if step > 20 => {
                    if !reference.is_final {
                        reference.failure = Some(response.clone());
                    }
                    reference.is_final = true;
                    machine.handle(now, ServerInviteInput::Failure(response))
                }
                _ => {
                    now = machine.poll_timeout().unwrap_or(now).max(now);
                    machine.handle_timeout(now)
                }
            };
            if let ServerInviteEffect::Send(sent) = &effect {
                assert!(reference.allows(sent), "seed {seed} step {step}");
            }
            if effect == ServerInviteEffect::PassAck {
                assert!(reference.is_final && reference.failure.is_none());
            }
        }
        assert_eq!(machine.is_proceeding(), !reference.is_final, "seed {seed}");
        while let Some(due) = machine.poll_timeout().filter(|_| !machine.is_proceeding()) {
            machine.handle_timeout(due);
        }
        assert_eq!(machine.is_terminated(), reference.is_final, "seed {seed}");
    }
}
