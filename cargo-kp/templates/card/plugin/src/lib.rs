//! Driver of {{ title }}.
#![no_std]
#![forbid(unsafe_code)]
{% if blocks %}
pub mod registers;
{% endif %}
{%- if irq.causes %}
use core::sync::atomic::{ {{- irq.atomic }}, Ordering::Relaxed};
{%- endif %}
use kp_core::*;
{%- if blocks %}
use registers::{% if blocks | length == 1 %}{{ blocks[0].name }}{% else %}{ {{- blocks | map(attribute="name") | join(", ") -}} }{% endif %};
{%- endif %}
pub use {{ crate }}_interface::{{ crate }};

/// {% if ids %}One device.{% else %}The plugin.{% endif %}
pub struct Driver
{%- if not fields %};
{% else %} {
{%- for block in blocks %}
    {{ block.field }}: Bar<{{ block.name }}::Map>,
{%- endfor %}
{%- if irq.causes %}
    /// What has interrupted since the app last asked.
    causes: {{ irq.atomic }},
{%- endif %}
{%- if irq.masks %}
    /// Whether the card may interrupt, as far as apps are concerned.
    armed: Mutex<bool>,
{%- endif %}
}
{% endif %}
{%- if software %}
/// What one app's session has: each has its own.
pub struct Session {
    sum: Mutex<u64>,
}
{% endif %}
impl Init for Driver {
    type Session = {% if software %}Session{% else %}(){% endif %};
    type Interrupt = ();
    fn init({% if blocks or irq.masks %}cx{% else %}_{% endif %}: &mut Passive, {% if blocks %}mut device{% else %}_{% endif %}: Device) -> Result<Self> {
{%- if not fields %}
        Ok(Driver)
{%- else %}
        Ok(Driver {
{%- for block in blocks %}
            {{ block.field }}: device.map(cx, {{ block.bar }})?,
{%- endfor %}
{%- if irq.causes %}
            causes: {{ irq.atomic }}::new(0),
{%- endif %}
{%- if irq.masks %}
            armed: Mutex::new(cx, false)?,
{%- endif %}
        })
{%- endif %}
    }
}
{% if software %}
impl Open for Driver {
    fn open(&self, cx: &mut Passive, _: &Caller, _: &[u8]) -> Result<Session> {
        Ok(Session { sum: Mutex::new(cx, 0)? })
    }
}
{% endif %}
impl {{ crate }}::Handler<Passive{% if software %}, Session{% endif %}> for Driver {
{%- for message in messages %}
    fn {{ message.name }}(&self, {{ message.cx }}: &mut Passive, {% if software %}{{ message.session }}: &Session{% else %}_: &(){% endif %}{% if message.handler_arguments %}, {{ message.handler_arguments }}{% endif %}) -> Result<{{ message.handler_reply }}> {
        {{ message.body }}
    }
{% endfor -%}
}
{%- if irq.enables %}

impl IntEnable for Driver {
    fn int_enable(&self, _: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
{%- if irq.quiet %}
        {{ irq.quiet }} // what an earlier owner has left
{%- endif %}
        Ok(())
    }
{%- if irq.enable or irq.masks %}

    fn int_arm(&self, {% if irq.masks %}cx{% else %}_{% endif %}: &mut Passive, _: &(), _: Granted) -> Result<()> {
{%- if irq.masks %}
        self.armed.with(cx, |armed, _| *armed = true);
        self.{{ irq.ack.field }}.write({{ irq.ack.path }}, !0);
{%- endif %}
{%- if irq.enable %}
        self.{{ irq.enable.field }}.write({{ irq.enable.path }}, {{ irq.enable.value }}); // from now on the card may interrupt
{%- endif %}
        Ok(())
    }
{%- endif %}

    fn int_disarm(&self, {% if irq.masks %}cx{% else %}_{% endif %}: &mut Passive, _: &()) {
{%- if irq.disable %}
        self.{{ irq.disable.field }}.write({{ irq.disable.path }}, {{ irq.disable.value }});
{%- endif %}
{%- if irq.masks %}
        self.armed.with(cx, |armed, _| {
            *armed = false;
            self.{{ irq.ack.field }}.write({{ irq.ack.path }}, 0);
        });
{%- endif %}
{%- if irq.quiet %}
        {{ irq.quiet }}
{%- endif %}
    }
}
{%- endif %}
{%- if irq %}

impl IntAtIrql for Driver {
    fn int_at_irql(&self, _: &mut Irql, _: &(), {% if irq.recipe == "none" %}source{% else %}_{% endif %}: Source) -> Verdict {
{%- if irq.recipe == "none" %}
        match source {
            // A line may be another card's, and this one has not said how to ask it, nor how to take its interrupt back.
            Source::Line => Verdict::NOT_MINE,
            Source::Message(_) => Verdict::DEFER, // and so the app that waits is woken
        }
{%- else %}
        let bits = self.{{ irq.status.field }}.read({{ irq.status.path }}){% if irq.masks %} & self.{{ irq.ack.field }}.read({{ irq.ack.path }}){% endif %};
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
{%- if irq.acknowledge %}
        {{ irq.acknowledge }}
{%- endif %}
        self.causes.fetch_or(bits, Relaxed);
        Verdict::DEFER // and so the app that waits is woken
{%- endif %}
    }
}
{%- endif %}

plugin! {
    Driver { name: "{{ name }}"
{%- if ids %}, devices: [{% for id in ids %}{{ id.vendor }}:{{ id.device }}{% if not loop.last %}, {% endif %}{% endfor %}]{% endif %}, interface: {{ crate }}, callbacks: [{{ callbacks | join(", ") }}] }
}
