/** What the recording's kernel knew at a moment, and a call has to find: waits, signals, timers, files, descriptors, loops. */
import fs from 'node:fs';
import { expect, it } from 'vitest';
import { Replay } from '../../src/index.js';
import { itOn, recording } from '../collections.js';
import { MACHINE } from '../machines.js';

/** The texts of expressions at each arrival at `spot`, each in its own diversion. */
async function ask(folder: string, ...moments: string[][]): Promise<string[][]> {
  const replay = await Replay.open(folder, { machine: MACHINE });
  try {
    const answers: string[][] = [];
    for (const expressions of moments) {
      await replay.runTo('spot');
      const texts: string[] = [];
      for (const expression of expressions)
        texts.push(
          await replay
            .divert(async (d) => (await d.evaluate(expression)).text)
            .catch((error: unknown) => String(error)),
        );
      answers.push(texts);
    }
    return answers;
  } finally {
    await replay.close();
  }
}

itOn(recording('moments/waits'), 'a waiting thread waits for the remaining time', async (folder) => {
  const replay = await Replay.open(folder, { machine: MACHINE });
  const waited = async (): Promise<number[]> => {
    await replay.runTo('spot');
    const tenths: number[] = [];
    await replay.divert(async (d) => {
      for (let kind = 0; kind < 10; kind++) tenths.push(Number(await d.call('waited', kind)));
    });
    return tenths;
  };
  const [waiting, stopped] = [await waited(), await waited()];
  await replay.close();
  for (const tenths of waiting) expect([200, 201]).toContain(tenths);
  // nanosleep, poll and those with a time to wait for go on as if they had not been stopped.
  for (const kind of [0, 1, 2, 7, 8]) expect([200, 201]).toContain(stopped[kind]);
  // ppoll, select and pselect got the remaining time; a stop is not part of it.
  for (const kind of [3, 4, 5]) expect(stopped[kind]).toBeGreaterThan(201);
});

itOn(recording('moments/waits'), 'stopped processes stay stopped until SIGCONT', async (folder) => {
  const [answers] = await ask(folder, ['resume()']);
  expect(answers).toEqual(['1']);
  const replay = await Replay.open(folder, { machine: MACHINE });
  await replay.runTo('spot');
  for (const child of [0, 1]) {
    await replay.divert(async (d) => {
      const [before, after] = [await d.call('child_ran', child), await d.call('child_ran', child)];
      expect([child, after]).toEqual([child, before]);
    });
  }
  await replay.close();
});

itOn(recording('moments/waits'), 'signals that are blocked wait for who takes them', async (folder) => {
  const answers = await ask(
    folder,
    ['pending(10)'],
    ['pending(10)'],
    ['pending(10)', 'pending(12)', 'pending(34)', 'pending(15)', 'take(34)', '(int)take(12)', 'unblock()'],
    ['take(34)', '(int)take(12)'],
  );
  expect(answers).toEqual([['0'], ['0'], ['1', '1', '1', '0', '34005', '12000', '10'], ['34006', '-11']]);
});

itOn(recording('moments/waits'), 'timers continue with their remaining time', async (folder) => {
  const [, , [alarm, interval, timer, fires]] = await ask(
    folder,
    [],
    [],
    ['alarm_left()', 'interval_left()', 'timer_left()', 'timer_fires()'],
  );
  expect([Number(alarm), Number(interval), Number(timer)].map((left) => left > 0)).toEqual([
    true,
    true,
    true,
  ]);
  expect(Number(alarm)).toBeLessThan(100);
  expect(Number(interval)).toBeLessThan(1000);
  expect(Number(timer)).toBeLessThan(300);
  expect(fires).toBe('1');
});

itOn(
  recording('moments/files'),
  'files are as of that moment: links, folders, stores through mappings',
  async (folder) => {
    const today = '/tmp/revenant-moments';
    fs.rmSync(today, { recursive: true, force: true });
    const questions = [
      ...['(char*)contents("mapped")', '(char*)contents("link")', '(char*)contents("absolute")'],
      ...['(char*)target("link")', '(int)is_link("link")', '(char*)list("")', '(char*)list("sub")'],
    ];
    const expected = [
      [
        ...['"stored through a mapping"', '"content of a"', '"content of b"', '"a"', '1'],
        ...['"a absolute@ b folder@ link@ mapped sub/"', '"c"'],
      ],
      [
        ...['"changed"', '"error 2"', '"error 2"', '"a"', '1'],
        ...['"absolute@ d late@ link@ mapped sub/"', '"c"'],
      ],
      [...['"error 2"', '"error 2"', '"error 2"', '"error 2"', '-2'], ...['"error 2"', '"error 2"']],
    ];
    const more = [['(char*)contents("folder/c")', 'same("a", "link")'], ['(char*)contents("late")'], []];
    const moments = more.map((extra) => [...questions, ...extra]);
    const all = [[...expected[0], '"content of c"', '1'], [...expected[1], '"content of c"'], expected[2]];
    expect(await ask(folder, ...moments)).toEqual(all);
    fs.mkdirSync(`${today}/sub`, { recursive: true });
    try {
      for (const name of ['a', 'link', 'late', 'mapped', 'new', 'sub/new'])
        fs.writeFileSync(`${today}/${name}`, 'of today');
      expect(await ask(folder, ...moments)).toEqual(all);
    } finally {
      fs.rmSync(today, { recursive: true });
    }
  },
);

itOn(
  recording('moments/files'),
  'descriptors are sent and received, processes are signalled by them',
  async (folder) => {
    const questions = ['(char*)received()', '(char*)passed("b")', 'end_child(15)', 'end_child(9)'];
    const [first, second] = await ask(folder, questions, ['(char*)received()', '(char*)passed("d")']);
    expect(first).toEqual(['"content of b"', '"content of b"', '15', '9']);
    expect(second).toEqual(['"error -11"', '"content of b"']);
  },
);

itOn(
  recording('moments/loop'),
  'libuv makes its turns: timers, wake-ups, streams, its pool of threads',
  async (folder) => {
    const questions = ['turn()', 'post()', 'say("hello")', 'pool()', 'tick()'];
    const answers = await ask(folder, questions, questions, questions);
    for (const answer of answers) {
      expect(answer[0]).toBe('1');
      expect(Number(answer.pop())).toBeGreaterThan(0);
    }
    expect(answers.map((answer) => answer.slice(1))).toEqual([
      ['1', '1', '100'],
      ['1', '1', '100'],
      ['102', '2', '201'],
    ]);
  },
);

it.skipIf(!recording('moments/again'))('nothing of this machine’s processor or kernel is read', async () => {
  const questions = [
    ...['(char*)lines_("/proc/stat")', '(char*)lines_("/proc/cpuinfo")', '(char*)lines_("/proc/version")'],
    ...['(char*)lines_("/proc/sys/kernel/random/boot_id")'],
  ];
  const [[statistics, processor, version, boot]] = await ask(recording('moments/again')!, questions);
  expect(statistics).toMatch(/cpu {2}0 0 0/);
  expect(processor).toMatch(/vendor_id\\t\\t: AuthenticAMD\\n/);
  expect(processor).toContain('model name\\t\\t: AMD EPYC');
  expect(version).toContain('Linux version');
  expect(boot).not.toContain(fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
});
