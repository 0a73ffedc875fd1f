//! Array indices that an app chose, made safe from speculation: Linux' `array_index_nospec`, with its mask.
/// `index`, which is below `len`; 0 if a processor that guesses ahead believes it is not. So no app can have memory behind a table
/// read by guessing.
#[inline(always)]
pub(super) fn array_index_nospec(index: usize, len: usize) -> usize {
    index & array_index_mask_nospec(index, len)
}

/// All ones if `index` is below `len`, else zero; also for a processor that guesses ahead, since it is calculated. `len` is at most
/// `isize::MAX`.
///
/// The compiler must not see that `index` was compared before: it would find out that there is nothing to do.
#[inline(always)]
pub(super) fn array_index_mask_nospec(index: usize, len: usize) -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let below: usize;
        // SAFETY: all ones if `index` is below `len`, else zero; registers and flags only.
        unsafe {
            core::arch::asm!(
                "cmp {index}, {len}",
                "sbb {below}, {below}",
                index = in(reg) index,
                len = in(reg) len,
                below = out(reg) below,
                options(pure, nomem, nostack),
            );
        }
        below
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    {
        let index = core::hint::black_box(index);
        (!(index | len.wrapping_sub(1).wrapping_sub(index)) as isize >> (usize::BITS - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_index_is_itself_below_the_length_and_0_from_there() {
        for len in [1, 2, 5, 2048] {
            assert!((0..len).all(|index| super::array_index_nospec(index, len) == index));
            assert_eq!([len, len + 1, usize::MAX].map(|index| super::array_index_nospec(index, len)), [0; 3]);
        }
        assert_eq!([0, 1, usize::MAX].map(|index| super::array_index_mask_nospec(index, 0)), [0; 3]);
        assert_eq!([0, 1, 2].map(|index| super::array_index_mask_nospec(index, 2)), [usize::MAX, usize::MAX, 0]);
    }
}
