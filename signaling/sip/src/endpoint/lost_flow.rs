//! A connection is gone and a request of ours was on it.
//!
//! Whether the peer has read it, nobody knows. It is sent once more, over a connection to where the
//! dialog's route leads (RFC 3261 §18.1.1: "the transport layer [...] opens a connection"): a copy is
//! recognised by its branch. What was sent to an address fails as ever.

use super::clients::{Machine, next_hop};
use super::event::{ClientTx, Owner};
use super::{Endpoint, Flow, Target};

impl Endpoint {
    /// Sends again what waits for an answer on a connection that is gone.
    pub(super) fn move_clients(&mut self, flow: Flow) {
        let on_it = |target: &Target| *target == Target::Flow(flow);
        let clients = self.clients.iter();
        let moving: Vec<ClientTx> = clients
            .filter(|(_, entry)| on_it(&entry.sent.target))
            .map(|(client, _)| *client)
            .collect();
        for client in moving {
            self.move_client(client);
        }
    }

    /// Sends a request that was on a connection to an address instead; `false` where it was not, or
    /// needs no more.
    pub(super) fn move_client(&mut self, client: ClientTx) -> bool {
        let Some(entry) = self.clients.get_mut(&client) else {
            return false;
        };
        let request = match &entry.machine {
            Machine::Invite(machine) => machine.request(),
            Machine::Other(machine) => machine.request(),
        };
        let dialog = self.dialogs.get(&entry.dialog).map(|entry| &entry.dialog);
        let (Some(request), Some(dialog), Target::Flow(_)) = (request, dialog, entry.sent.target)
        else {
            return false;
        };
        let path = dialog.path();
        let (target, transport) = next_hop(dialog, path.next_hop.as_ref(), |_| false);
        if !transport.is_reliable() {
            // The transaction would have to repeat it.
            return false;
        }
        let bytes = request.clone();
        entry.sent.target = target;
        self.transmit(target, bytes, Owner::Client(client));
        true
    }
}
