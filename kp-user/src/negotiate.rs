//! OPEN: app and driver agree on an interface, also if they are not of one age.
use crate::{Cause, Connection, Mismatch, Side};
use kp_abi::{
    Error, Interface, Status, TransportStatus, limits,
    request::{self, Request, feature},
};

/// What OPEN has agreed on.
pub(crate) struct Opened {
    pub(crate) session: u64,
    pub(crate) driver: Side,
    /// The highest message number that the driver has; `None` if it declares no interface, and so takes any.
    pub(crate) highest: Option<u32>,
    /// What was granted, a mask of [`feature`].
    pub(crate) features: u64,
}

/// Opens with an interface. A driver that knows fewer messages is asked once more, with as many as it knows, if the
/// interfaces agree up to there.
pub(crate) fn negotiate(connection: &dyn Connection, interface: &Interface, data: &[u8]) -> Result<Opened, Cause> {
    let count = interface.methods.len() as u32;
    let mut open = request(count, interface.version, interface.fingerprint());
    let mut answer = connection.open(&mut open, data);
    if answer == Err(Status::INTERFACE_MISMATCH.into()) && open.message_count < count {
        let common = open.message_count;
        let chain = interface.chain(common as usize);
        if chain == open.fingerprint {
            open = request(common, interface.version, chain);
            answer = connection.open(&mut open, data);
        }
    }
    match answer {
        Ok(()) => {
            connection.agree(interface);
            Ok(opened(&open, Some(open.message_count)))
        }
        Err(error) if error == Status::INTERFACE_MISMATCH => {
            let driver = driver(&open);
            Err(Cause::Interface {
                name: interface.name,
                app: Side { version: interface.version, messages: count },
                driver,
                mismatch: Mismatch::find(connection, interface, driver),
            })
        }
        Err(error) => Err(refusal(error, &open)),
    }
}

/// Opens whatever interface there is: with no message known, and the chain that the driver itself has there.
pub(crate) fn take_any(connection: &dyn Connection, data: &[u8]) -> Result<Opened, Cause> {
    let mut open = request(0, 0, 0);
    let query = connection.query(0).map_err(|error| refusal(error, &open))?;
    open.fingerprint = query.chain;
    match connection.open(&mut open, data) {
        Ok(()) => Ok(opened(&open, (open.message_count != 0).then_some(open.message_count))),
        Err(error) => Err(refusal(error, &open)),
    }
}

fn request(message_count: u32, interface_version: u32, fingerprint: u64) -> request::Open {
    request::Open {
        abi_major: limits::ABI_MAJOR,
        abi_minor: limits::ABI_MINOR,
        features: feature::RING | feature::DIRECT | feature::BUFFERS,
        message_count,
        interface_version,
        fingerprint,
        ..Request::new()
    }
}

fn opened(open: &request::Open, highest: Option<u32>) -> Opened {
    Opened { session: open.session, driver: driver(open), highest, features: open.features }
}

/// The driver's interface, after its answer.
fn driver(open: &request::Open) -> Side {
    Side { version: open.interface_version, messages: open.message_count }
}

fn refusal(error: Error, open: &request::Open) -> Cause {
    match error.status {
        status if status == TransportStatus::UNKNOWN_REQUEST => Cause::NotKp,
        Status::ABI_MISMATCH => {
            Cause::Abi { app: (limits::ABI_MAJOR, limits::ABI_MINOR), driver: (open.abi_major, open.abi_minor) }
        }
        _ => Cause::Refused(error),
    }
}
