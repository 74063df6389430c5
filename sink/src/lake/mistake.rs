//! Mistakes that tests plant into the lake's own code, at the place of the step they spoil, to prove
//! that the simulation would find them. Outside of tests there are none: [`planted!`] is `false`.

#[cfg(test)]
use std::cell::Cell;

/// Whether a test has planted this mistake in its thread.
#[cfg(test)]
macro_rules! planted {
    ($mistake:ident) => {
        $crate::lake::mistake::is_planted($crate::lake::mistake::Mistake::$mistake)
    };
}
/// Nobody plants mistakes into the program.
#[cfg(not(test))]
macro_rules! planted {
    ($mistake:ident) => {
        false
    };
}

/// What one can get wrong. Each is one small change, and each loses or doubles something.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// The spans go back to their sources when the files are there, before the manifest is.
    AcknowledgeBeforeManifest,
    /// The manifest is put before the files that it names.
    ManifestBeforeFiles,
    /// The manifest is put over one that is there.
    ManifestReplaces,
    /// No answer to the manifest's put is taken for a yes.
    SilenceIsYes,
    /// No answer to the manifest's put is taken for a no, and the files are removed.
    SilenceIsNo,
    /// Another writer's manifest of our epoch is taken for ours.
    FenceIgnored,
    /// A file whose put failed counts as stored.
    FileFailureIgnored,
    /// Files are written without an intent.
    NoIntent,
    /// Two writers give the files of an epoch the same names.
    NamesWithoutWriter,
    /// The state before is removed before the manifest that replaces it is there.
    StateRemovedEarly,
    /// An epoch that changes nothing names the state of an epoch that is not the last.
    StateOfAnotherEpoch,
    /// Recovery removes the files of an unfinished epoch without taking its number.
    SweepWithoutTakeOver,
    /// Recovery removes all files that intents name, also those of epochs that were committed.
    SweepOfCommitted,
    /// Recovery takes another writer's manifest for its own take-over.
    TakeOverUnseen,
    /// Recovery goes on where the last list of positions was, not where the chain ends.
    PositionsOfListOnly,
    /// A new process does not know the identities of stored events.
    IdentitiesForgotten,
    /// A new process knows the identities of the newest manifests only.
    IdentitiesCutShort,
    /// Upkeep writes files without an intent.
    UpkeepUnannounced,
    /// Upkeep removes its files when it does not know whether its manifest is there.
    UpkeepGivesUp,
    /// Upkeep that gives an epoch up removes the intent although a file may be there.
    AbandonedForgotten,
    /// A file whose rows were moved stays part of the lake.
    OneNotReplaced,
    /// Replaced files are removed although somebody may be reading them.
    CollectedAtOnce,
    /// Replaced files are removed before the manifest that replaced them is durable.
    CollectedUnsynced,
    /// Files of epochs that are not decided are removed.
    UndecidedCollected,
    /// A new process looks for identities in files that were replaced.
    ReplacedForgotten,
    /// The bytes of checkpoints are not compared with what they should be.
    CheckpointUnproved,
    /// A checkpoint of other chains is believed.
    CheckpointOfOthers,
    /// A checkpoint forgets that a file was replaced.
    CheckpointForgets,
    /// A checkpoint says that it goes further than its files.
    CheckpointAhead,
    /// A process takes partitions from others before its own lane says that it wants them.
    ClaimUnsaid,
    /// It goes on where the others stand, without stopping them.
    ClaimLooksOnly,
    /// A process whose partition was taken commits what it has read of it.
    TakenKept,
    /// A local file's content is not synced before it gets its name.
    NoFileSync,
    /// A local file's name is not synced.
    NoFolderSync,
    /// The name of a local folder is not synced.
    NewFolderUnsynced,
    /// What is there is taken for durable although whoever put it may have died on the way.
    ExistsIsDurable,
    /// A manifest that can be read is taken for durable.
    ReadIsDurable,
    /// A local file is put over one that is there.
    LinkReplaces,
}

#[cfg(test)]
thread_local! {
    static PLANTED: Cell<Option<Mistake>> = const { Cell::new(None) };
}

#[cfg(test)]
pub(super) fn is_planted(mistake: Mistake) -> bool {
    PLANTED.get() == Some(mistake)
}

/// Runs with a mistake planted in this thread.
#[cfg(test)]
pub(super) fn with<T>(mistake: Mistake, run: impl FnOnce() -> T) -> T {
    PLANTED.set(Some(mistake));
    let result = run();
    PLANTED.set(None);
    result
}
