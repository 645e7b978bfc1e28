/** LLDB on recordings. Set-up does not install it: Debian's takes 450 MB. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { StartPlace } from '../../../src/recording/start-place.js';
import { answers, lldb, runLldb } from '../lldb.js';
import { available, sample, serveRecording } from './recording.js';

const guests = path.resolve(import.meta.dirname, '../../guests');

/** Output of commands after connecting. */
async function debug(
  folder: string,
  commands: readonly string[],
  place: StartPlace = {},
  first: readonly string[] = [],
  connect = 'process connect connect://',
): Promise<string[]> {
  const recording = await serveRecording(folder, place);
  const all = [
    'platform select remote-linux',
    `settings set target.source-map programs/programs ${guests}`,
    ...first,
    `${connect}${recording.endpoint}`,
    ...commands,
  ];
  try {
    const said = answers(await runLldb(all), all).slice(-commands.length - 1);
    if (recording.failures.length > 0) throw recording.failures[0];
    return said;
  } finally {
    await recording.close();
  }
}

const tree = sample('skylake-pku/tree');

describe.skipIf(lldb === null)('LLDB (skipped without it; Debian: apt install lldb)', () => {
  it('stops, stacks with sources, steps, and the end of the recording', async () => {
    const said = await debug(tree, [
      'target list',
      'breakpoint set --name insert --condition "key == 78"',
      'continue',
      'bt',
      'frame variable',
      'next',
      'thread step-inst',
      'breakpoint delete --force',
      'finish',
      'watchpoint set expression -- &root',
      'continue',
      'watchpoint delete --force',
      'continue',
      'thread step-inst',
      'next',
      'expression (int)tree_depth(root)',
    ]);
    const [connect, target, , stop, stack, locals, next, instruction, , finish, , watch, , end, ...last] =
      said;
    expect(connect).toMatch(/name = 'tree', stop reason = after frame \d+\n.*ld-linux-x86-64\.so\.2`_start/);
    expect(target).toMatch(/target #0: \S+\/tree \( arch=x86_64-pc-linux-gnu, platform=remote-linux/);
    expect(stop).toMatch(/stop reason = breakpoint 1\.1\n.*insert\(.*key=78\) at tree\.c:12:/);
    expect(stop).toMatch(/\n-> 12 /);
    expect(stack).toMatch(
      /frame #0: .*insert.*\n.*frame #1: .*main at tree\.c:65:.*\n.*__libc_start_call_main/,
    );
    expect(locals).toMatch(/\(int\) key = 78/);
    expect(next).toMatch(/stop reason = step over\n.*insert.* at tree\.c:13:/);
    expect(instruction).toMatch(/stop reason = instruction step into/);
    expect(finish).toMatch(/stop reason = step out\n(?:.*\n)*.*main at tree\.c:65/);
    expect(watch).toMatch(/stop reason = watchpoint 1\n.*main at tree\.c/);
    expect(end).toMatch(/keys 21 depth 10 sum 1431\n[^]*exited normally here[^]*= the recording ends here/);
    expect(last).toEqual([
      expect.stringMatching(/stop reason = the recording ends here/),
      expect.stringMatching(/stop reason = the recording ends here/),
      expect.stringMatching(/^\(int\) \$\d = 10\n/),
    ]);
  });

  it('expressions are diversions, and find again what they kept in memory', async () => {
    const said = await debug(tree, [
      'breakpoint set --name insert --condition "key == 78"',
      'continue',
      'expression (char*)describe(root)',
      'expression print_tree(root, 0)',
      'expression int $kept = key + 5; $kept',
      'expression (int)crash_on(0)',
      'expression root->key = 7',
      'expression root->key',
      'register read rip',
      'breakpoint modify --condition "key == 77"',
      'continue',
      'expression root->key',
      'expression $kept',
      'expression (int)tree_depth(root)',
    ]);
    const [, , , described, printed, kept, crashed, , changed, , , , key, again, depth] = said;
    expect(described).toMatch(/"tree of 1 keys, depth 1, sum 108"/);
    expect(printed).toMatch(/^108\n/);
    expect(kept).toMatch(/= 83\n/);
    expect(crashed).toMatch(/signal SIGSEGV[^]*returned to the state before/);
    expect(changed).toMatch(/= 7\n/);
    // Changes are kept, as in a live program, until the diversion ends.
    expect(key).toMatch(/= 7\n/);
    expect(again).toMatch(/\$kept = 83\n/);
    expect(depth).toMatch(/= [2-9]\n/);
  });

  it("its front ends' way backwards, and rr's commands", async () => {
    const send = (packet: string): string => `process plugin packet send ${packet}`;
    const hex = (text: string): string => Buffer.from(text).toString('hex');
    const said = await debug(
      tree,
      [
        'breakpoint set --name insert --condition "key == 19"',
        'continue',
        'breakpoint modify 1 --condition ""',
        'continue',
        send('bc'),
        send('bs'),
        'stepi',
        'bt',
        send(`qRRCmd:${hex('when')}`),
        send('qRRCmd:when:-1'),
        'process plugin packet monitor goto 20',
        'stepi',
      ],
      {},
      [`target create ${path.join(tree, 'mmap_pack_2_tree')}`],
      'gdb-remote ',
    );
    const [, , stop, , next, , , stopped, back, old, present, jump, jumped] = said;
    for (const text of [stop, next]) expect(text).toMatch(/stop reason = breakpoint 1\.1\n.*key=19\)/);
    expect(stopped).toMatch(/stop reason = breakpoint 1\.1\n/);
    expect(back).toMatch(/frame #0: .*insert\(.*key=19\).*\n.*frame #1: .*main at/);
    const answer = (text: string): string =>
      Buffer.from(/response: ([0-9a-f]+)/.exec(text)![1], 'hex').toString();
    expect(answer(old)).toMatch(/^Completed event: \d+\n$/);
    expect(answer(present)).toBe(answer(old));
    expect(jump).toMatch(/After frame 20: task/);
    expect(jumped).toMatch(/stop reason = after frame 20\n/);
  });

  it('from the crash, and at the very end', async () => {
    const [connect, stack] = await debug(sample('zen2/crash'), ['bt'], { atCrash: true });
    expect(connect).toMatch(/name = 'crash', stop reason = after frame/);
    expect(stack).toMatch(/strlen[^]*handle[^]*main/);
    const said = await debug(tree, ['thread step-inst', 'expression (int)tree_depth(root)'], { atEnd: true });
    expect(said.slice(1)).toEqual([
      expect.stringMatching(/stop reason = the recording ends here/),
      expect.stringMatching(/= 10\n/),
    ]);
  });

  const threads = available('zen2/threads', 'haswell/threads');

  it.skipIf(threads.length === 0)('threads', async () => {
    const said = await debug(threads[0], [
      'breakpoint set --name run',
      'continue',
      'continue',
      'thread list',
      'thread select 1',
      'bt',
      'thread select 3',
      'expression (int)gettid()',
      'next',
    ]);
    const [, , first, second, list, , main, , tid, next] = said;
    expect(first).toMatch(/thread #2, .*stop reason = breakpoint 1\.1\n.*run\(arg=0x0+\)/);
    expect(second).toMatch(/thread #3, .*stop reason = breakpoint 1\.1\n.*run\(arg=0x0*1\)/);
    const [, number] = /\* thread #3: tid = (\d+), .*name = 'threads', stop reason = breakpoint/.exec(list)!;
    expect(main).toMatch(/__clone[^]*pthread_create/);
    expect(tid).toContain(`= ${number}\n`);
    expect(next).toMatch(/thread #3, .*stop reason = step over\n/);
  });
});
