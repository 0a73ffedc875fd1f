//! What Windows is told of a driver beside its code: by the INF, and by the version resource inside the driver. Both say the same.
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::build::plugin::Plugin;

/// Characters of a field that installers show: `LINE_LEN`, 256, has a zero at its end ("INF Version Section").
const LONGEST: usize = 255;
/// The same of a driver's name, which services have to be named by too ("CreateServiceW function (winsvc.h)").
const LONGEST_NAME: usize = 255 - ".sys".len();
const SECONDS_A_DAY: i64 = 86_400;
/// 2019-01-01, after the oldest Windows that takes the driver had come: Inf2Cat refuses an earlier date than that of the Windows that a
/// catalog is for ("Test Signing", 22.9.7).
const EARLIEST: i64 = 17_897;

/// A driver, as installers and Explorer show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The name of its file, without `.sys`, and of its service.
    pub name: String,
    /// Who made it.
    pub provider: String,
    /// What users are shown.
    pub description: String,
    /// Whose it is, if the package names authors.
    pub copyright: Option<String>,
    /// As Windows has it, in four parts.
    pub version: [u16; 4],
    /// Year, month, day.
    pub date: (i64, u32, u32),
}

impl Product {
    /// What the package's Cargo.toml says.
    ///
    /// # Errors
    /// What Windows would not take: one line that says what to change.
    pub fn of(plugin: &Plugin) -> Result<Product> {
        let today = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let day = day(seconds(&plugin.workspace), today / SECONDS_A_DAY)?;
        Product::new(&format!("kp-{}", plugin.name), &plugin.authors, &plugin.description, &plugin.version, day)
    }

    /// The same from its parts. `authors` and `version` are written as in Cargo.toml; `day` is counted from 1970-01-01.
    ///
    /// # Errors
    /// Those of [`Product::of`].
    pub fn new(name: &str, authors: &[String], description: &str, version: &str, day: i64) -> Result<Product> {
        if name.len() > LONGEST_NAME {
            bail!(
                "{name}: a driver's name has at most {LONGEST_NAME} characters on Windows: shorten the package's name"
            );
        }
        // An author is `Name <address>`.
        let authors = authors.iter().map(|author| line(author.split('<').next().unwrap_or_default()));
        let authors: Vec<String> = authors.filter(|author| !author.is_empty()).collect();
        let provider = authors.first().map_or(name, String::as_str);
        // InfVerif, code 1204.
        if provider.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("microsoft")) {
            bail!(
                "Windows lets nobody else be a provider whose name begins with Microsoft: the first of `authors` is {provider}"
            );
        }
        if provider.encode_utf16().count() > LONGEST {
            bail!("a provider has at most {LONGEST} characters on Windows: shorten the first of `authors`");
        }
        let description = line(description);
        Ok(Product {
            name: name.to_owned(),
            provider: provider.to_owned(),
            description: if description.is_empty() { name.to_owned() } else { cut(&description, LONGEST).to_owned() },
            copyright: (!authors.is_empty())
                .then(|| cut(&format!("Copyright {}", authors.join(", ")), LONGEST).to_owned()),
            version: four_parts(version)?,
            date: civil(day),
        })
    }

    /// The version as it is written: `1.2.3.0`.
    pub fn version(&self) -> String {
        self.version.map(|part| part.to_string()).join(".")
    }
}

/// One line of visible text, with single spaces.
fn line(text: &str) -> String {
    let plain: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As much of a text as `longest` UTF-16 units hold.
fn cut(text: &str, longest: usize) -> &str {
    let ends = text.char_indices().scan(0, |units, (at, letter)| {
        *units += letter.len_utf16();
        Some((at + letter.len_utf8(), *units))
    });
    let end = ends.take_while(|&(_, units)| units <= longest).map(|(end, _)| end).last().unwrap_or(0);
    text[..end].trim_end()
}

/// `1.2.3-beta` as 1.2.3.0. "INF DriverVer directive": each part is less than 65535, and 0.0.0.0 is no version.
fn four_parts(cargo: &str) -> Result<[u16; 4]> {
    let plain = cargo.split(['-', '+']).next().unwrap_or_default();
    let mut version = [0; 4];
    for (part, text) in version.iter_mut().zip(plain.split('.')) {
        match text.parse() {
            Ok(number) if number < u16::MAX => *part = number,
            _ => bail!("each part of a version is less than 65535 on Windows: change `version`, which is {cargo}"),
        }
    }
    if version == [0; 4] {
        bail!("0.0.0 is no version on Windows: change `version`, which is {cargo}");
    }
    Ok(version)
}

/// When the driver was made, the same on each machine: SOURCE_DATE_EPOCH if it is set, the last commit's in a git repository, and
/// else as early as can be.
fn seconds(workspace: &Path) -> i64 {
    let set = std::env::var("SOURCE_DATE_EPOCH").ok();
    let commit = || {
        let output = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(workspace).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    set.or_else(commit).and_then(|text| text.trim().parse::<i64>().ok()).unwrap_or(0).max(0)
}

/// The day of a second. Somewhere it is tomorrow already; later than that it is nowhere, and Inf2Cat refuses a date in the future.
fn day(seconds: i64, today: i64) -> Result<i64> {
    let day = seconds / SECONDS_A_DAY;
    if day > today + 1 {
        let (year, month, day) = civil(day);
        bail!(
            "the driver's date would be {year}-{month:02}-{day:02}, which is still to come: set SOURCE_DATE_EPOCH, or this machine's clock"
        );
    }
    Ok(day.max(EARLIEST))
}

/// The date of a day, counted from 1970-01-01. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
fn civil(day: i64) -> (i64, u32, u32) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let date = of_year - (153 * from_march + 2) / 5 + 1;
    (year + 400 * era + i64::from(month <= 2), month as u32, date as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(authors: &[&str], description: &str, version: &str) -> Result<Product> {
        let authors: Vec<String> = authors.iter().map(|&author| author.to_owned()).collect();
        Product::new("kp-edu", &authors, description, version, 20_455)
    }

    fn refusal(product: Result<Product>) -> String {
        product.unwrap_err().to_string()
    }

    #[test]
    fn what_windows_is_told_follows_from_the_package() {
        let told =
            product(&["Ada <ada@example.org>", "<nameless@example.org>", "Bob"], "A\nkernel  plugin.", "1.2.3-beta");
        let told = told.unwrap();
        assert_eq!((told.provider.as_str(), told.description.as_str()), ("Ada", "A kernel plugin."));
        assert_eq!(told.copyright.as_deref(), Some("Copyright Ada, Bob"));
        assert_eq!((told.version, told.version(), told.date), ([1, 2, 3, 0], "1.2.3.0".to_owned(), (2026, 1, 2)));
        let bare = product(&[], "", "0.1.0").unwrap();
        assert_eq!((bare.provider.as_str(), bare.description.as_str(), bare.copyright), ("kp-edu", "kp-edu", None));
    }

    #[test]
    fn a_description_that_no_installer_can_show_is_cut_between_characters() {
        let long = product(&[], &"\u{1F980}".repeat(200), "1.0.0").unwrap().description;
        assert_eq!(long, "\u{1F980}".repeat(127));
        assert_eq!(product(&[], &"x".repeat(255), "1.0.0").unwrap().description, "x".repeat(255));
    }

    #[test]
    fn what_windows_would_not_take_is_refused_in_one_line() {
        assert_eq!(
            refusal(product(&["MICROSOFT Fans <fans@example.org>"], "", "1.0.0")),
            "Windows lets nobody else be a provider whose name begins with Microsoft: the first of `authors` is MICROSOFT Fans"
        );
        assert_eq!(
            refusal(product(&[&"x".repeat(256)], "", "1.0.0")),
            "a provider has at most 255 characters on Windows: shorten the first of `authors`"
        );
        for version in ["1.65535.0", "1.70000.3+build", "20260102.0.0"] {
            assert_eq!(
                refusal(product(&[], "", version)),
                format!("each part of a version is less than 65535 on Windows: change `version`, which is {version}")
            );
        }
        assert_eq!(
            refusal(product(&[], "", "0.0.0-dev")),
            "0.0.0 is no version on Windows: change `version`, which is 0.0.0-dev"
        );
        assert_eq!(product(&[], "", "0.1.0").unwrap().version, [0, 1, 0, 0]);
        assert!(refusal(Product::new(&"x".repeat(252), &[], "", "1.0.0", 0)).ends_with("shorten the package's name"));
    }

    #[test]
    fn a_date_in_the_future_is_refused_and_one_before_the_oldest_windows_is_moved() {
        assert_eq!([0, EARLIEST - 1, EARLIEST].map(|at| day(at * SECONDS_A_DAY, 20_454).unwrap()), [EARLIEST; 3]);
        assert_eq!(civil(EARLIEST), (2019, 1, 1));
        assert_eq!(day(20_455 * SECONDS_A_DAY, 20_454).unwrap(), 20_455);
        assert_eq!(
            day(20_456 * SECONDS_A_DAY, 20_454).unwrap_err().to_string(),
            "the driver's date would be 2026-01-03, which is still to come: set SOURCE_DATE_EPOCH, or this machine's clock"
        );
    }

    #[test]
    fn days_become_dates() {
        for (day, date) in [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29)), (20_819, (2027, 1, 1))] {
            assert_eq!(civil(day), date);
        }
    }
}
