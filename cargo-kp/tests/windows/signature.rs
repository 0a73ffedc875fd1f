//! What osslsigncode has signed, looked at by verifiers that are neither it nor ours: OpenSSL for the signature, pelite for the file around it.
use super::{alone, echo, run, throw_away};
use cargo_kp::build::{Arch, Signer};
use pelite::image::IMAGE_DIRECTORY_ENTRY_SECURITY;
use pelite::pe64::{Pe, PeFile};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Authenticode's content, as OpenSSL prints its type: SPC_INDIRECT_DATA_OBJID.
const CONTENT: &str = ":1.3.6.1.4.1.311.2.1.4";
/// WIN_CERT_TYPE_PKCS_SIGNED_DATA.
const SIGNED_DATA: u16 = 2;

/// A file of this test's.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
#[ignore = "needs Debian's compiler, osslsigncode and openssl; run by `cargo kp test`"]
fn a_second_verifier_takes_the_signature_for_this_certificate_alone_and_it_is_of_the_whole_driver() {
    let _alone = alone();
    let (other, _) = throw_away("other");
    let (certificate, key) = throw_away("signer");
    let signer = Signer { certificate: Some(certificate.clone()), key: Some(key), password: None };
    let driver = echo(Arch::X64, &signer);
    let bytes = std::fs::read(&driver).unwrap();
    let file_of = PeFile::from_bytes(&bytes).unwrap();

    // It is the last thing in the file, and the checksum is right again.
    let directory = file_of.data_directory()[IMAGE_DIRECTORY_ENTRY_SECURITY];
    assert_eq!((directory.VirtualAddress + directory.Size) as usize, bytes.len());
    assert_eq!(file_of.headers().check_sum(), file_of.optional_header().CheckSum);
    let security = file_of.security().unwrap();
    assert_eq!(security.certificate_type(), SIGNED_DATA);

    let signature = security.certificate_data();
    let signed = file("signature.p7", signature);
    let content = file("content", content(signature, &signed));
    let verify = |certificate: &Path| {
        let mut openssl = Command::new("openssl");
        openssl.args(["smime", "-verify", "-binary", "-purpose", "any", "-inform", "DER", "-in"]).arg(&signed);
        openssl.arg("-content").arg(&content).arg("-CAfile").arg(certificate).args(["-out", "/dev/null"]);
        openssl.output().unwrap().status.success()
    };
    assert!(verify(&certificate), "OpenSSL does not take it");
    assert!(!verify(&other), "anybody's certificate will do");

    // All but the checksum, the place that says where the signature is, and itself.
    let header = file_of.dos_header().e_lfanew as usize;
    let (checksum, place) = (header + 88, header + 24 + 112 + 8 * IMAGE_DIRECTORY_ENTRY_SECURITY);
    let end = directory.VirtualAddress as usize;
    let hashed = [&bytes[..checksum], &bytes[checksum + 4..place], &bytes[place + 8..end]].concat();
    let digest = run("openssl", &["dgst", "-sha256", "-r", file("hashed", &hashed).to_str().unwrap()]);
    let digest: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&digest[at..at + 2], 16).expect("a digit")).collect();
    assert!(signature.windows(32).any(|part| part == digest), "it is of other bytes");
}

/// What was signed: the content without its own tag and length, where OpenSSL finds it in the file `signed`.
fn content<'a>(signature: &'a [u8], signed: &Path) -> &'a [u8] {
    let parsed = run("openssl", &["asn1parse", "-inform", "DER", "-in", signed.to_str().unwrap()]);
    let mut lines = parsed.lines().skip_while(|line| !line.ends_with(CONTENT));
    let line = lines.nth(2).unwrap_or_else(|| panic!("no content in {parsed}"));
    let number = |name: &str| {
        let rest = line.split_once(name).unwrap_or_else(|| panic!("no {name} in {line}")).1.trim_start();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().unwrap()
    };
    let at: usize = line.split_once(':').unwrap().0.trim().parse().unwrap();
    let start = at + number("hl=");
    &signature[start..start + number(" l=")]
}
