//! SIP messages, transactions and dialogs, without I/O.
