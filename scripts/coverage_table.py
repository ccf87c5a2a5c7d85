"""Line coverage by folder of src, from an lcov file. Lines that only tests compile are left out: they always run.

Python 3.11, standard library only. Called by scripts/coverage.
"""
import collections, pathlib, re, sys

WORST = 15
TEST_MODULE = re.compile(r'^\s*(?:pub(?:\([^)]*\))? )?mod (\w+);')


def test_only(source):
    """The files and the line numbers below `source` that stand under #[cfg(test)]."""
    files, lines = set(), collections.defaultdict(set)
    for path in source.rglob('*.rs'):
        text = path.read_text().splitlines()
        home = path.parent if path.name in ('mod.rs', 'lib.rs', 'main.rs') else path.with_suffix('')
        for start, line in enumerate(text):
            if line.strip() != '#[cfg(test)]':
                continue
            item = start + 1
            while text[item].lstrip().startswith('#['):
                item += 1
            if module := TEST_MODULE.match(text[item]):
                name = module.group(1)
                files |= {home / f'{name}.rs', *(home / name).rglob('*.rs')}
                continue
            # rustfmt closes an item at the indentation at which it began.
            indent = re.match(r'\s*', text[item]).group()
            end = item
            while not (text[end].startswith((indent + '}', indent + ')')) or text[end].endswith(';')):
                end += 1
            lines[path] |= set(range(start + 1, end + 2))
    return files, lines


def line_counts(lcov):
    """For every source file, how often each of its lines ran; in several programs a line counts where it ran."""
    counts, path = collections.defaultdict(dict), None
    for row in lcov.read_text().splitlines():
        if row.startswith('SF:'):
            path = pathlib.Path(row[3:])
        elif row.startswith('DA:'):
            number, count = (int(part) for part in row[3:].split(',')[:2])
            counts[path][number] = max(count, counts[path].get(number, 0))
    return counts


def main(root, lcov):
    source = pathlib.Path(root) / 'src'
    files, lines = test_only(source)
    folders, worst = collections.defaultdict(lambda: [0, 0]), []
    for path, counts in line_counts(pathlib.Path(lcov)).items():
        if not path.is_relative_to(source) or path in files:
            continue
        product = [count for number, count in counts.items() if number not in lines[path]]
        covered = sum(count > 0 for count in product)
        name = path.relative_to(source)
        parts = name.parent.parts or ('(top)',)
        for folder in ['all', *('/'.join(parts[:depth]) for depth in range(1, min(len(parts), 3) + 1))]:
            folders[folder][0] += covered
            folders[folder][1] += len(product)
        worst.append((len(product) - covered, covered, len(product), name))
    if not folders:
        sys.exit(f'{lcov} holds no line of {source}')
    print(f"{'folder of src':36} {'lines':>7} {'covered':>8}")
    for folder in sorted(folders, key=lambda name: (name == 'all', name)):
        covered, count = folders[folder]
        print(f'{folder:36} {count:7} {100 * covered / max(count, 1):7.1f}%')
    print(f"\n{'files with the most lines not run':36} {'lines':>7} {'covered':>8}")
    for missed, covered, count, name in sorted(worst, key=lambda row: (-row[0], row[3]))[:WORST]:
        if missed:
            print(f'{str(name):36} {count:7} {100 * covered / count:7.1f}%')


main(*sys.argv[1:])
