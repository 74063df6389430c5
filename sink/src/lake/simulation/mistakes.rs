//! Would the simulation find a mistake? Each of these is planted, and some seed finds it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::mistake::{Mistake, with};
use super::{Seen, Where, run, say};

/// Where a mistake can show, so that it is not sought elsewhere.
fn place(mistake: Mistake) -> Where {
    use Mistake::{
        AbandonedForgotten, CheckpointAhead, CheckpointForgets, CheckpointOfOthers,
        CheckpointUnproved, CollectedAtOnce, ExistsIsDurable, LinkReplaces, NewFolderUnsynced,
        NoFileSync, NoFolderSync, OneNotReplaced, ReadIsDurable, ReplacedForgotten,
        UndecidedCollected, UpkeepGivesUp, UpkeepUnannounced,
    };
    match mistake {
        AbandonedForgotten => Where { folder: Some(false), kept: Some(true) },
        CheckpointUnproved | CheckpointOfOthers | CheckpointForgets | CheckpointAhead => {
            Where { folder: None, kept: Some(true) }
        }
        UpkeepUnannounced | UpkeepGivesUp | OneNotReplaced | CollectedAtOnce
        | UndecidedCollected | ReplacedForgotten => Where { folder: None, kept: Some(true) },
        NoFileSync | NoFolderSync | NewFolderUnsynced | ExistsIsDurable | ReadIsDurable
        | LinkReplaces => Where { folder: Some(true), kept: Some(false) },
        _ => Where { folder: None, kept: Some(false) },
    }
}

/// Where to begin: seldom ones were found by these seeds. When the code changes, later ones find them.
fn first_seed(mistake: Mistake) -> u64 {
    match mistake {
        Mistake::AbandonedForgotten => 3_080,
        Mistake::UpkeepGivesUp => 3_925,
        _ => 0,
    }
}

/// The first seed of many that finds the mistake.
fn found(mistake: Mistake) -> Option<u64> {
    let fails = |seed: &u64| {
        let run = || run(*seed, place(mistake), &mut Seen::default());
        with(mistake, || catch_unwind(AssertUnwindSafe(run)).is_err())
    };
    let first = first_seed(mistake);
    let found = (first..first + 3_000).find(fails);
    say(&format!("{mistake:?} is found by seed {found:?}"));
    found
}

macro_rules! every_one_is_found {
    ($($mistake:ident => $name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                let found = found(Mistake::$mistake);
                assert!(found.is_some(), "nobody has found {:?}", Mistake::$mistake);
            }
        )*

        /// A mistake that is added to the list is looked for.
        #[test]
        fn none_is_left_out() {
            let looked_for = |mistake: Mistake| match mistake {
                $(Mistake::$mistake => stringify!($name),)*
                // Found by the tests of claims.
                Mistake::ClaimUnsaid | Mistake::ClaimLooksOnly | Mistake::TakenKept => "",
                // Found in a world of its own, see `collecting`.
                Mistake::CollectedUnsynced => "",
            };
            assert_eq!(looked_for(Mistake::NoIntent), "files_without_an_intent");
        }
    };
}

every_one_is_found! {
    AcknowledgeBeforeManifest => acknowledging_before_the_manifest,
    ManifestBeforeFiles => the_manifest_before_its_files,
    ManifestReplaces => a_manifest_over_another,
    SilenceIsYes => no_answer_taken_for_a_yes,
    SilenceIsNo => deleting_when_there_was_no_answer,
    FenceIgnored => not_seeing_the_fence,
    FileFailureIgnored => a_file_that_was_not_stored,
    NoIntent => files_without_an_intent,
    NamesWithoutWriter => two_writers_with_the_same_names,
    StateRemovedEarly => the_old_state_removed_early,
    StateOfAnotherEpoch => the_state_of_another_epoch,
    SweepWithoutTakeOver => sweeping_without_taking_the_number,
    SweepOfCommitted => sweeping_what_was_committed,
    TakeOverUnseen => another_take_over_taken_for_ours,
    PositionsOfListOnly => positions_of_long_ago,
    IdentitiesForgotten => forgotten_identities,
    IdentitiesCutShort => identities_of_the_newest_epoch_only,
    UpkeepUnannounced => files_of_upkeep_without_an_intent,
    UpkeepGivesUp => upkeep_deleting_when_there_was_no_answer,
    AbandonedForgotten => files_given_up_and_forgotten,
    OneNotReplaced => rows_that_moved_and_stayed,
    CollectedAtOnce => removing_what_somebody_reads,
    UndecidedCollected => removing_what_is_being_written,
    ReplacedForgotten => identities_in_replaced_files,
    CheckpointUnproved => checkpoints_that_are_not_proved,
    CheckpointOfOthers => checkpoints_of_other_chains,
    CheckpointForgets => a_checkpoint_that_forgets,
    CheckpointAhead => a_checkpoint_ahead_of_its_files,
    NoFileSync => content_that_is_not_synced,
    NoFolderSync => names_that_are_not_synced,
    NewFolderUnsynced => new_folders_that_are_not_synced,
    ExistsIsDurable => what_exists_taken_for_durable,
    ReadIsDurable => what_is_read_taken_for_durable,
    LinkReplaces => a_local_file_over_another,
}
