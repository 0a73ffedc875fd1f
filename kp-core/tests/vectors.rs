//! Vectors of MSI-X, masked one by one: what comes meanwhile comes later, nothing is lost, and nothing is left when the interrupt is disabled.
use kp_abi::request::kind;
use kp_core::*;
use kp_sim::{
    Sim,
    device::{DeviceModel, Identity},
};
use kp_user::Enable;
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

kp_abi::interface! {
    mod masker, version 1 {
        /// Masks a vector, or unmasks it.
        fn mask(vector: u32, mask: bool) = 1;
        /// The same with a spin lock held.
        fn mask_locked(vector: u32, mask: bool) = 2;
        /// Says which processor a vector best goes to.
        fn hint(vector: u32, processor: u32) = 3;
        /// Each vector's interrupts since the interrupt was enabled.
        fn runs() -> [u32; 70] = 4;
        /// From now on each DPC masks its vector, or not.
        fn mask_in_dpc(on: u32) = 5;
    }
}

/// More than a word has bits.
const VECTORS: usize = 70;

/// A device that sends what it is told to, and has all kinds.
#[derive(Default)]
struct Card {
    messages: VecDeque<u16>,
    line: bool,
}

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x11e8 }
    }
    fn vectors(&self, kind: IrqKind) -> u16 {
        match kind {
            IrqKind::Line => 1,
            IrqKind::Msi => 4,
            IrqKind::MsiX => VECTORS as u16,
        }
    }
    fn line(&mut self) -> bool {
        self.line
    }
    fn take_message(&mut self) -> Option<u16> {
        self.messages.pop_front()
    }
}

struct Masker {
    vectors: Vectors,
    lock: SpinLock<(), Dispatch>,
    runs: [AtomicU32; VECTORS],
    mask_in_dpc: AtomicU32,
}

impl Init for Masker {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, device: Device) -> Result<Self> {
        let vectors = device.vectors()?;
        assert_eq!(vectors.mask(cx, 0), Err(Status::NOT_ENABLED.into()));
        let runs = std::array::from_fn(|_| AtomicU32::new(0));
        Ok(Masker { vectors, lock: SpinLock::new(cx, ())?, runs, mask_in_dpc: AtomicU32::new(0) })
    }
}

impl Masker {
    fn set(&self, cx: &mut impl AtMost<Dispatch>, vector: u32, mask: bool) -> Result<()> {
        if mask { self.vectors.mask(cx, vector) } else { self.vectors.unmask(cx, vector) }
    }
}

impl masker::Handler<Passive> for Masker {
    fn mask(&self, cx: &mut Passive, (): &(), vector: u32, mask: bool) -> Result<()> {
        self.set(cx, vector, mask)
    }
    fn mask_locked(&self, cx: &mut Passive, (): &(), vector: u32, mask: bool) -> Result<()> {
        self.lock.with(cx, |(), cx| self.set(cx, vector, mask))
    }
    fn hint(&self, cx: &mut Passive, (): &(), vector: u32, processor: u32) -> Result<()> {
        self.vectors.hint(cx, vector, processor)
    }
    fn runs(&self, _: &mut Passive, (): &()) -> Result<[u32; VECTORS]> {
        Ok(self.runs.each_ref().map(|runs| runs.load(Relaxed)))
    }
    fn mask_in_dpc(&self, _: &mut Passive, (): &(), on: u32) -> Result<()> {
        self.mask_in_dpc.store(on, Relaxed);
        Ok(())
    }
}

impl IntEnable for Masker {
    fn int_enable(&self, cx: &mut Passive, enabling: Enabling<'_, Self>) -> Result<()> {
        self.runs.iter().for_each(|runs| runs.store(0, Relaxed));
        // The app names a vector that is masked from the start.
        enabling.data.iter().try_for_each(|&vector| self.vectors.mask(cx, vector.into()))
    }
    fn int_disable(&self, cx: &mut Passive, (): ()) {
        assert_eq!(self.vectors.mask(cx, 0), Err(Status::NOT_ENABLED.into()));
    }
}

impl IntAtIrql for Masker {
    fn int_at_irql(&self, _: &mut Irql, (): &(), source: Source) -> Verdict {
        if let Source::Message(n) = source {
            self.runs[usize::from(n)].fetch_add(1, Relaxed);
        }
        Verdict::DEFER
    }
}

impl IntAtDpc for Masker {
    fn int_at_dpc(&self, cx: &mut Dispatch, (): &(), source: Source, count: u32) -> u32 {
        if let (Source::Message(n), 1) = (source, self.mask_in_dpc.load(Relaxed)) {
            self.vectors.mask(cx, n.into()).unwrap();
        }
        count
    }
}

plugin! { Masker {
    name: "masker", devices: [0x1234:0x11e8], vectors: 1..=70, interface: masker, callbacks: [IntEnable, IntAtIrql, IntAtDpc]
} }

struct Scene {
    sim: Sim<Masker>,
    plugin: kp_user::Plugin,
}

impl Scene {
    fn new() -> Self {
        let sim = Sim::<Masker>::with(Card::default()).unwrap();
        let plugin = sim.connect(masker::INTERFACE).unwrap();
        Self { sim, plugin }
    }
    fn client(&self) -> masker::Client<&kp_user::Plugin> {
        masker::Client(&self.plugin)
    }
    fn send(&self, messages: &[u16]) {
        self.sim.device(|card: &mut Card| card.messages.extend(messages));
    }
    fn runs(&self, vector: usize) -> u32 {
        self.client().runs().unwrap()[vector]
    }
    fn enable(&self) -> kp_user::Interrupts {
        self.plugin.interrupts(Enable::msix(70..=70)).unwrap()
    }
}

fn refused(status: Status) -> Result<()> {
    Err(status.into())
}

#[test]
fn what_comes_for_a_masked_vector_comes_when_it_is_unmasked() {
    let scene = Scene::new();
    let interrupts = scene.enable();
    for vector in [0, 1, 63, 64, 69] {
        let at = usize::from(vector);
        scene.send(&[vector]);
        assert_eq!(scene.runs(at), 1);
        scene.client().mask(vector.into(), true).unwrap();
        // Of others all comes, of this one nothing.
        scene.send(&[vector, 2, vector]);
        assert_eq!((scene.runs(at), scene.runs(2) > 0), (1, true), "vector {vector} is masked");
        scene.client().mask(vector.into(), false).unwrap();
        assert_eq!(scene.runs(at), 2, "what came meanwhile, once");
        scene.send(&[vector]);
        assert_eq!(scene.runs(at), 3, "and what comes after it");
    }
    let last = interrupts.disable().unwrap();
    assert_eq!((last.received, last.notified), (20, 20), "five each, and five of vector 2");
}

#[test]
fn twice_is_once_and_with_a_lock_held_it_is_the_same() {
    let scene = Scene::new();
    let _interrupts = scene.enable();
    for _ in 0..2 {
        scene.client().mask_locked(5, true).unwrap();
        scene.client().mask(5, true).unwrap();
        scene.send(&[5]);
        assert_eq!(scene.runs(5), 0);
    }
    scene.client().mask_locked(5, false).unwrap();
    scene.client().mask(5, false).unwrap();
    assert_eq!(scene.runs(5), 1);
}

#[test]
fn a_dpc_masks_its_vector_until_the_plugin_has_looked() {
    let scene = Scene::new();
    let _interrupts = scene.enable();
    scene.client().mask_in_dpc(1).unwrap();
    scene.send(&[7]);
    scene.send(&[7]);
    scene.send(&[7]);
    assert_eq!(scene.runs(7), 1);
    scene.client().mask_in_dpc(0).unwrap();
    scene.client().mask(7, false).unwrap();
    assert_eq!(scene.runs(7), 2);
}

#[test]
fn disabling_unmasks_and_what_was_kept_back_comes_before() {
    let scene = Scene::new();
    for _ in 0..2 {
        let interrupts = scene.enable();
        for vector in [3, 69] {
            scene.client().mask(vector, true).unwrap();
        }
        scene.send(&[3, 4]);
        assert_eq!((scene.runs(3), scene.runs(4)), (0, 1));
        let last = interrupts.disable().unwrap();
        assert_eq!((scene.runs(3), last.received), (1, 2), "nothing is lost");
        assert_eq!(scene.client().mask(3, false), refused(Status::NOT_ENABLED));
    }
    let interrupts = scene.enable();
    scene.send(&[3, 69]);
    assert_eq!((scene.runs(3), scene.runs(69)), (1, 1), "enabled again, none is masked");
    drop(interrupts);
}

#[test]
fn an_app_that_dies_leaves_no_masked_vector() {
    let scene = Scene::new();
    let interrupts = scene.enable();
    scene.client().mask(3, true).unwrap();
    let Scene { sim, plugin } = scene;
    drop((interrupts, plugin));
    let plugin = sim.connect(masker::INTERFACE).unwrap();
    let scene = Scene { sim, plugin };
    let _interrupts = scene.enable();
    scene.send(&[3]);
    assert_eq!(scene.runs(3), 1);
}

#[test]
fn a_vector_that_int_enable_masks_is_masked_from_the_start() {
    let scene = Scene::new();
    scene.plugin.connection().int_enable(kind::MSIX, 1, 70, &[9]).unwrap();
    scene.send(&[8, 9]);
    assert_eq!((scene.runs(8), scene.runs(9)), (1, 0));
    scene.client().mask(9, false).unwrap();
    assert_eq!(scene.runs(9), 1);
    scene.plugin.connection().int_disable().unwrap();
    // One that is refused leaves nothing.
    let refused = scene.plugin.connection().int_enable(kind::MSIX, 1, 70, &[9, 70]);
    assert_eq!(refused.map(|_| ()), Err(Status::BAD_VECTOR.into()));
    let _interrupts = scene.enable();
    scene.send(&[9]);
    assert_eq!(scene.runs(9), 1);
}

#[test]
fn it_is_for_vectors_that_are_enabled_and_of_msi_x() {
    let scene = Scene::new();
    assert_eq!(scene.client().mask(0, true), refused(Status::NOT_ENABLED));
    assert_eq!(scene.client().hint(0, 0), refused(Status::NOT_ENABLED));
    let interrupts = scene.plugin.interrupts(Enable::msix(1..=4)).unwrap();
    for vector in [4, 64, 2048, u32::MAX] {
        assert_eq!(scene.client().mask(vector, true), refused(Status::BAD_VECTOR), "{vector}");
        assert_eq!(scene.client().hint(vector, 0), refused(Status::BAD_VECTOR), "{vector}");
    }
    interrupts.disable().unwrap();
    for enable in [Enable::msi(), Enable::line()] {
        let interrupts = scene.plugin.interrupts(enable).unwrap();
        assert_eq!(scene.client().mask(0, true), refused(Status::NO_INTERRUPT));
        assert_eq!(scene.client().mask(0, false), refused(Status::NO_INTERRUPT));
        assert_eq!(scene.client().hint(0, 1), Ok(()), "it may be ignored");
        interrupts.disable().unwrap();
    }
}

#[test]
fn a_hint_is_the_kernels_until_the_interrupt_is_disabled() {
    let scene = Scene::new();
    let interrupts = scene.enable();
    assert_eq!(scene.sim.hint(2), None);
    scene.client().hint(2, 1).unwrap();
    scene.client().hint(2, 3).unwrap();
    assert_eq!((scene.sim.hint(2), scene.sim.hint(1)), (Some(3), None));
    interrupts.disable().unwrap();
    let _interrupts = scene.enable();
    assert_eq!(scene.sim.hint(2), None);
}

#[test]
fn a_plugin_without_a_device_has_none() {
    assert_eq!(Sim::<Masker>::new().err(), Some(Status::WRONG_DEVICE.into()));
}

#[test]
fn masking_against_a_disabling_and_a_removal_is_in_turn() {
    kp_sim::explore(0..60, |world| {
        let scene = Scene::new();
        let interrupts = scene.enable();
        world.scope(|scope| {
            scope.spawn("masks", || {
                for n in 0..6 {
                    match scene.client().mask(3, n % 2 == 0) {
                        Ok(()) => {}
                        Err(error) => {
                            assert!([Status::NOT_ENABLED, Status::DEVICE_GONE].contains(&error.status), "{error:?}")
                        }
                    }
                }
            });
            scope.spawn("sends", || {
                for _ in 0..3 {
                    scene.send(&[3]);
                }
            });
            scope.spawn("disables", || {
                let _ = interrupts.disable();
                scene.sim.remove(true);
            });
        });
    });
}
