use super::super::manifest::tests::sample;
use super::*;

fn file(n: u64) -> LiveFile {
    let mut manifest = sample(n, None);
    let mut file = manifest.files.remove(0);
    file.path = format!("f{n}");
    let columns = manifest.schemas.remove(0).into();
    LiveFile { lane: "main".into(), epoch: n, file, columns, rewrites: 0 }
}

fn covered(epoch: u64) -> Covered {
    Covered { lane: "main".into(), epoch, hash: Checksum::of(b"m"), created_at: 7 }
}

#[test]
fn a_root_is_read_back_and_any_altered_byte_is_noticed() {
    let (run, _) = encode_run(&[Listed::Live(file(1)), Listed::Live(file(2))]);
    let live = vec![RunRef { gone: vec![1], ..run }];
    let root = Checkpoint { lanes: vec![covered(9)], live, ..Checkpoint::default() };
    let bytes = root.encode();
    assert_eq!(Checkpoint::decode(&root.path(), &bytes), Some(root.clone()));
    assert_eq!(Checkpoint::decode(&layout::checkpoint(8), &bytes), None, "of another place");
    for n in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[n] ^= 1;
        assert_eq!(Checkpoint::decode(&root.path(), &altered), None, "byte {n}");
    }
    let outside = RunRef { gone: vec![2], ..root.live[0].clone() };
    let root = Checkpoint { live: vec![outside], ..root };
    assert_eq!(Checkpoint::decode(&root.path(), &root.encode()), None, "gone and never there");
}

#[test]
fn a_run_gives_its_files_back_but_those_that_are_gone() {
    let end = End::Removed(Why::Size);
    let former = Former { live: file(3), end: end.clone(), at: 5 };
    let (run, bytes) =
        encode_run(&[Listed::Live(file(1)), Listed::Live(file(2)), Listed::Former(former)]);
    let run = RunRef { gone: vec![0], ..run };
    let files = decode_run(&run, &bytes).unwrap();
    match files.as_slice() {
        [(1, Listed::Live(live)), (2, Listed::Former(former))] => {
            assert_eq!((&live.file, &live.columns), (&file(2).file, &file(2).columns));
            assert_eq!((&former.end, former.at, &former.live.file), (&end, 5, &file(3).file));
        }
        other => panic!("{other:?}"),
    }
    assert!(decode_run(&run, &bytes[1..]).is_none());
}

/// What a lake of so many files pays, when every checkpoint brings as many new ones.
#[test]
fn runs_are_few_and_files_are_seldom_written_again() {
    let (new, checkpoints) = (20, 60_000);
    let (mut runs, mut written): (Vec<u64>, u64) = (Vec::new(), 0);
    for _ in 0..checkpoints {
        runs.push(new);
        let before = runs.clone();
        let grouped = groups(&before);
        let mut all: Vec<usize> = grouped.iter().flatten().copied().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..before.len()), "each in one group");
        written += new;
        runs = Vec::new();
        for group in grouped {
            let files = group.iter().map(|&n| before[n]).sum();
            written += if group.len() > 1 { files } else { 0 };
            runs.push(files);
        }
    }
    let files = new * checkpoints;
    assert_eq!(runs.iter().sum::<u64>(), files);
    assert!(written <= 8 * files, "{written} for {files}");
    let whole = files / RUN_FILES_MAX;
    assert!(runs.len() as u64 <= whole + 19, "{} runs of {files} files", runs.len());
}
