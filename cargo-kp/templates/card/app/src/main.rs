//! Talks to the plugin: `{{ name }}-app [NAME]{% if irq.raise %} [--raise BITS]{% endif %}{% if irq %} [--wait SECONDS]{% endif %}`, where NAME is `{{ name }}` for the first device, `{{ name }}.1` for another.
#![forbid(unsafe_code)]

use {{ crate }}_interface::{{ crate }};
use kp_user::{% if irq %}{Enable, Plugin}{% else %}Plugin{% endif %};
use std::{error::Error, process::ExitCode{% if irq %}, time::Duration{% endif %}};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{{ name }}-app: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
{%- if irq %}
    let mut args = std::env::args().skip(1);
    let (mut name, mut wait{% if irq.raise %}, mut raise{% endif %}) = ("{{ name }}".to_owned(), None{% if irq.raise %}, None{% endif %});
    while let Some(arg) = args.next() {
        match arg.as_str() {
{%- if irq.raise %}
            "--raise" => raise = Some(number(&args.next().ok_or("--raise needs a number")?)?),
{%- endif %}
            "--wait" => wait = Some(args.next().ok_or("--wait needs a number of seconds")?.parse()?),
            _ if arg.starts_with('-') => return Err(format!("no option {arg}").into()),
            _ => name = arg,
        }
    }
{%- else %}
    let name = std::env::args().nth(1).unwrap_or_else(|| "{{ name }}".to_owned());
{%- endif %}
    let plugin = Plugin::open_interface(&name, {{ crate }}::INTERFACE, &[])?;
    let client = {{ crate }}::Client(&plugin);
{%- if software %}
    println!("sum        {} and then {}", client.add(2)?, client.add(3)?);
    let mut room = [0; 64];
    println!("repeated   {}", String::from_utf8_lossy(client.repeat(b"hello", &mut room)?));
{%- endif %}
{%- for line in app.reads %}
    {{ line }}
{%- endfor %}
{%- if irq %}
    if {% if irq.raise %}raise.is_none() && {% endif %}wait.is_none() {
        return Ok(());
    }
    let interrupts = plugin.interrupts(Enable::any())?;
{%- if irq.raise %}
    if let Some(bits) = raise {
        client.{{ irq.raise.message }}(bits)?;
    }
{%- endif %}
    let got = interrupts.wait(Duration::from_secs(wait.unwrap_or(5)))?.got;
    println!("{{ app.interrupt }} {got} by {:?}{% if irq.causes %}, of {:#x}{% endif %}", interrupts.kind(){% if irq.causes %}, client.take_causes()?{% endif %});
{%- if irq.masks %}
    client.unmask()?;
{%- endif %}
{%- endif %}
    Ok(())
}
{%- if irq.raise %}

/// A number as `0x4` or `4`.
fn number(text: &str) -> Result<{{ irq.raise.ty }}, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => {{ irq.raise.ty }}::from_str_radix(digits, 16),
        None => text.parse(),
    }
}
{%- endif %}
