//! Working memory is used again, and no more of it is kept than is of use.

use super::super::memory::WorkingMemory;

const BLOCKS: usize = 8;

#[test]
fn the_next_hash_gets_the_memory_of_the_one_before() {
    let memory = WorkingMemory::new(BLOCKS);
    let mut first = memory.share();
    let place = first.blocks(BLOCKS).unwrap().as_ptr();
    drop(first);

    assert_eq!(memory.kept_kib(), BLOCKS);
    assert_eq!(memory.share().blocks(BLOCKS).unwrap().as_ptr(), place);
}

#[test]
fn what_runs_side_by_side_has_memory_of_its_own() {
    let memory = WorkingMemory::new(BLOCKS);
    let (mut one, mut other) = (memory.share(), memory.share());

    assert_ne!(one.blocks(BLOCKS).unwrap().as_ptr(), other.blocks(BLOCKS).unwrap().as_ptr());
}

#[test]
fn after_a_crowd_the_memory_of_one_hash_is_kept() {
    let memory = WorkingMemory::new(BLOCKS);
    let mut crowd: Vec<_> = (0..10).map(|_| memory.share()).collect();
    for share in &mut crowd {
        share.blocks(BLOCKS).unwrap();
    }

    for left in (0..10).rev() {
        crowd.pop();
        assert!(memory.kept_kib() <= BLOCKS * left.max(1), "{left} left");
    }
    assert_eq!(memory.kept_kib(), BLOCKS);
}

#[test]
fn memory_of_a_hash_of_another_cost_is_not_kept() {
    let memory = WorkingMemory::new(BLOCKS);
    let mut imported = memory.share();
    assert_eq!(imported.blocks(BLOCKS * 4).unwrap().len(), BLOCKS * 4);
    drop(imported);

    assert_eq!(memory.kept_kib(), 0);
}

#[test]
fn who_only_waited_leaves_nothing() {
    let memory = WorkingMemory::new(BLOCKS);
    drop(memory.share());

    assert_eq!(memory.kept_kib(), 0);
}
