//! Why a module has no device in a guest, and what to do about it.

use super::plan::Wanted;
use kp_tool::bus::Unbound;

/// The failure of a run in which a module found no device.
pub(super) fn in_words(wanted: &Wanted, why: Unbound) -> String {
    let why = match why {
        Unbound::NotOnBus => format!("there is no {} on the bus; add one with --device", wanted.devices),
        Unbound::Held { device, driver } if wanted.take => {
            format!("driver {driver} did not let go of {device}; see the log above")
        }
        Unbound::Held { device, driver } => format!("driver {driver} has {device}; take it with --take"),
        Unbound::Promised { device, driver } => {
            format!("{device} is kept for {driver} by its driver_override; take it with --take")
        }
        Unbound::Refused { device, status } => {
            format!("`init` refused {device}: {status}; see above what it has logged")
        }
        Unbound::Failed { device, line } => format!("it did not get {device}: {line}"),
        Unbound::Unclaimed { device } => format!("no driver has {device}; see the log above"),
    };
    format!("{} has no device: {why}", wanted.module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_a_sentence_of_its_own_and_says_what_to_do() {
        let why = |take, why| {
            let (module, devices) = ("kp_card".to_owned(), "PCI device 1b36:0010".to_owned());
            in_words(&Wanted { module, devices, aliases: Vec::new(), take }, why)
        };
        let (device, driver) = ("0000:00:03.0 (1b36:0010)".to_owned(), "nvme".to_owned());
        let held = || Unbound::Held { device: device.clone(), driver: driver.clone() };
        for (take, reason, text) in [
            (false, Unbound::NotOnBus, "there is no PCI device 1b36:0010 on the bus; add one with --device"),
            (false, held(), "driver nvme has 0000:00:03.0 (1b36:0010); take it with --take"),
            (true, held(), "driver nvme did not let go of 0000:00:03.0 (1b36:0010); see the log above"),
            (
                false,
                Unbound::Promised { device: device.clone(), driver: driver.clone() },
                "0000:00:03.0 (1b36:0010) is kept for nvme by its driver_override; take it with --take",
            ),
            (
                false,
                Unbound::Refused { device: device.clone(), status: "WrongDevice".into() },
                "`init` refused 0000:00:03.0 (1b36:0010): WrongDevice; see above what it has logged",
            ),
            (
                false,
                Unbound::Failed { device: device.clone(), line: "kp_card: probe failed with error -16".into() },
                "it did not get 0000:00:03.0 (1b36:0010): kp_card: probe failed with error -16",
            ),
            (
                false,
                Unbound::Unclaimed { device: device.clone() },
                "no driver has 0000:00:03.0 (1b36:0010); see the log above",
            ),
        ] {
            assert_eq!(why(take, reason), format!("kp_card has no device: {text}"));
        }
    }
}
