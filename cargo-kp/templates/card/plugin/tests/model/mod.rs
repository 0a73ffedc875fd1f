//! The card, as far as its registers say what it is. Give it here the behaviour that the real one has.
use kp_sim::device::{DeviceModel, Identity{% if irq %}, IrqKind{% endif %}, Memory};
{% if irq %}
{%- for constant in model.constants %}
/// {{ constant.doc }}
const {{ constant.name }}: (usize, u64) = ({{ constant.bar }}, {{ constant.offset }});
{%- endfor %}
{% endif %}
/// One card.
pub struct Model {
    /// What its registers keep: the bytes of each BAR.
    bars: [Vec<u8>; 6],
{%- if irq %}
{%- if irq.status %}
    /// What has interrupted, and is not acknowledged.
    status: {{ irq.status.ty }},
{%- endif %}
    /// Whether it may interrupt.
    enabled: bool,
    /// How its interrupts are sent.
    selected: Option<IrqKind>,
    /// Messages that are not taken yet.
    messages: u16,
{%- endif %}
}

impl Model {
    /// A card after power-on.
    pub fn new() -> Self {
        let mut bars: [Vec<u8>; 6] = Default::default();
{%- for block in blocks %}
        bars[{{ block.bar }}] = vec![0; {{ block.bar_len }}];
{%- endfor %}
        let {% if model.resets %}mut {% endif %}model = Model { bars
{%- if irq %}
{%- if irq.status %}, status: 0{% endif %}, enabled: {% if irq.enable %}false{% else %}true{% endif %}, selected: None, messages: 0
{%- endif %} };
{%- for reset in model.resets %}
        model.keep({{ reset.bar }}, {{ reset.offset }}, {{ reset.width }}, {{ reset.value }}); // {{ reset.name }}
{%- endfor %}
        model
    }
{% if irq %}
    /// The card interrupts{% if irq.status %} with these bits of {{ irq.status.name }}{% endif %}.
    pub fn raise(&mut self{% if irq.status %}, bits: {{ irq.status.ty }}{% endif %}) {
{%- if irq.status %}
        self.status |= bits;
{%- endif %}
        self.messages += u16::from({% if irq.status %}{{ model.pending }} && {% endif %}self.enabled && self.selected{% if irq.recipe == "none" %}.is_some(){% else %} == Some(IrqKind::Msi){% endif %});
    }
{% if irq.masks %}
    /// Nothing interrupts any more: what it was is served.
    pub fn served(&mut self) {
        self.status = 0;
    }
{% endif %}
{%- endif %}
    /// Has a register keep a value.
    fn keep(&mut self, bar: usize, offset: u64, width: u8, value: u64) {
        let bytes = self.bars[bar].iter_mut().skip(offset as usize);
        bytes.zip(&value.to_le_bytes()[..width.into()]).for_each(|(byte, new)| *byte = *new);
    }

    /// What a register keeps.
    fn kept(&self, bar: usize, offset: u64, width: u8) -> u64 {
        let bytes = self.bars[bar].iter().skip(offset as usize).take(width.into());
        bytes.rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
}

impl DeviceModel for Model {
    fn identity(&self) -> Identity {
        Identity { vendor: {{ ids[0].vendor }}, device: {{ ids[0].device }} }
    }

    fn bar_len(&self, bar: usize) -> Option<u64> {
        self.bars.get(bar).map(|bytes| bytes.len() as u64).filter(|len| *len > 0)
    }

    fn read(&mut self, bar: usize, offset: u64, width: u8, _: &mut dyn Memory) -> u64 {
{%- if irq.status %}
        match (bar, offset) {
{%- if irq.recipe == "read-clears" %}
            STATUS => std::mem::take(&mut self.status).into(),
{%- else %}
            STATUS => self.status.into(),
{%- endif %}
            _ => self.kept(bar, offset, width),
        }
{%- else %}
        self.kept(bar, offset, width)
{%- endif %}
    }

    fn write(&mut self, bar: usize, offset: u64, width: u8, value: u64, _: &mut dyn Memory) {
{%- if model.writes %}
        match (bar, offset) {
{%- for write in model.writes %}
            {{ write }},
{%- endfor %}
            _ => self.keep(bar, offset, width, value),
        }
{%- else %}
        self.keep(bar, offset, width, value);
{%- endif %}
    }
{%- if irq %}

    fn vectors(&self, kind: IrqKind) -> u16 {
        {% if irq.recipe == "none" %}(kind == IrqKind::Msi){% else %}matches!(kind, IrqKind::Line | IrqKind::Msi){% endif %}.into()
    }

    fn select(&mut self, kind: Option<IrqKind>, _: u16) {
        self.selected = kind;
    }
{%- if irq.status %}

    fn line(&mut self) -> bool {
        self.enabled && {{ model.pending }}
    }
{%- endif %}

    fn take_message(&mut self) -> Option<u16> {
        self.messages = self.messages.checked_sub(1)?;
        Some(0)
    }
{%- endif %}

    fn reset(&mut self) {
        *self = Self::new();
    }
}
