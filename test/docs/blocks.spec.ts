import { expect, it } from 'vitest';
import { blocksOf, listedCommands, patternOf, transcriptOf, withoutNoise } from './blocks.js';

const text = `# Title

\`\`\`
$ bin/revenant one
out
$ bin/revenant two
\`\`\`

<!-- not run: needs a cluster -->

\`\`\`sh
npm test   # a remark
bin/revenant info TRACE      what it does
\`\`\`
`;

it('finds blocks, and why they are not run', () => {
  const [first, second] = blocksOf('x.md', text);
  expect([first.where, first.notRun, second.language, second.notRun]).toEqual([
    'x.md:3',
    null,
    'sh',
    'needs a cluster',
  ]);
  expect(transcriptOf(first)).toEqual([
    { command: 'bin/revenant one', output: 'out\n' },
    { command: 'bin/revenant two', output: '' },
  ]);
  expect(listedCommands(first)).toEqual([]);
  expect(listedCommands(second)).toEqual(['npm test', 'bin/revenant info TRACE']);
  expect(() => blocksOf('y.md', '```\nopen')).toThrow(/y\.md:1/);
});

it('compares all but what varies', () => {
  const said = 'done: 3 frames, 380 ms (467 us a frame)\nrevenant: machine: A; XCR0 0x7\n.../x.py\n';
  const pattern = patternOf(said);
  expect('done: 3 frames, 1 min 5 s (2.5 ms a frame)\nrevenant: machine: B C; XCR0 0x7\n/a/b/x.py\n').toMatch(
    pattern,
  );
  expect(said.replace('3 frames', '4 frames')).not.toMatch(pattern);
  expect(said.replace('XCR0 0x7', 'XCR0 0x3')).not.toMatch(pattern);
  expect(`${said}more\n`).not.toMatch(pattern);
});

it('leaves out progress', () => {
  const output = 'revenant: starting the emulated machine (X)\nrevenant: frame 7, 1 s\nkept\n';
  expect(withoutNoise(output)).toBe('kept\n');
});
