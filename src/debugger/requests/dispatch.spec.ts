import { describe, expect, it } from 'vitest';
import {
  fakeSession,
  MEMORY,
  type FakeSession,
  type Instruction,
} from '../../../test/debugger/fake-target.js';
import { handlePacket } from './dispatch.js';
import { nameOf } from '../../engine/base/names.js';

const at = (rip: number, tid = 100): Instruction => ({ tid, rip });
const line = [at(0x400000), at(0x400002), at(0x400004, 101), at(0x400006), at(0x400008)];

const FEATURES = 'qSupported:multiprocess+;swbreak+;hwbreak+;fork-events+;vfork-events+;exec-events+';

type Ask = (body: string) => Promise<string>;

async function start(program: readonly Instruction[] = line): Promise<FakeSession & { ask: Ask }> {
  const fake = fakeSession(program);
  const ask: Ask = (body) => handlePacket(fake.session, body);
  await ask(FEATURES);
  return { ...fake, ask };
}

describe('the first requests of a client', () => {
  it('gets the supported features', async () => {
    const { ask } = await start();
    const supported = await ask(FEATURES);
    for (const feature of ['multiprocess+', 'ReverseStep+', 'ConditionalBreakpoints+', 'fork-events+'])
      expect(supported.split(';')).toContain(feature);
    expect(supported).toMatch(/PacketSize=[0-9a-f]+/);
    expect(await ask('vCont?')).toBe('vCont;c;C;s;S;r');
    expect(await ask('?')).toMatch(/^T00thread:p64\.64;/);
    expect(await ask('qfThreadInfo')).toBe('mp64.64,p64.65');
    expect(await ask('qsThreadInfo')).toBe('l');
    expect(await ask('vMustReplyEmpty')).toBe('');
    expect(await ask('qTStatus')).toBe('');
    expect(await ask('')).toBe('');
  });

  it('gets documents in parts', async () => {
    const { ask, session } = await start();
    const { xml } = session.description;
    let whole = '';
    for (let reply = 'm'; reply[0] === 'm'; whole += reply.slice(1)) {
      reply = await ask(`qXfer:features:read:target.xml:${whole.length.toString(16)},400`);
    }
    expect(whole).toBe(xml);
    expect(xml).toMatch(/org\.gnu\.gdb\.i386\.avx/);
    expect(xml).toMatch(/<reg name="pkru" bitsize="32"/);
    expect(await ask('qXfer:threads:read::0,1000')).toContain('<thread id="p64.65" name="worker"/>');
    expect(await ask('qXfer:exec-file:read:64:0,100')).toBe('l/bin/fake');
    expect(await ask('qXfer:auxv:read::0,a')).toBe('m\x06\0\0\0\0\0\0\0\0\x10');
    expect(await ask('qXfer:memory-map:read::0,100')).toBe('');
    expect(await ask('qXfer:siginfo:read::0,100')).toBe('E02');
  });

  it('gets names of threads as XML in UTF-8, even if they are not UTF-8', async () => {
    const { ask, target } = await start();
    const name = nameOf(Buffer.concat([Buffer.from('<\u{e9}\x01\n\u{1f600}'), Buffer.of(0xff, 0xe9)]));
    target.taskList[1] = { tid: 101, pid: 100, name };
    let whole = '';
    // Parts that end inside of a character.
    for (let reply = 'm'; reply[0] === 'm'; whole += reply.slice(1))
      reply = await ask(`qXfer:threads:read::${whole.length.toString(16)},5`);
    expect(Buffer.from(whole, 'latin1').toString('utf8')).toBe(
      '<?xml version="1.0" encoding="UTF-8"?><threads><thread id="p64.64" name="main"/>' +
        '<thread id="p64.65" name="&#60;\u{e9}\\x01&#10;\u{1f600}\\xff\\xe9"/></threads>',
    );
    const info = await ask('qThreadExtraInfo,p64.65');
    expect(Buffer.from(info, 'hex').toString()).toBe('<\u{e9}\\x01\\x0a\u{1f600}\\xff\\xe9');
  });

  it('gets all registers or one', async () => {
    const { ask, session } = await start();
    const size = session.description.registers.reduce((sum, register) => sum + register.size, 0);
    expect((await ask('g')).length).toBe(2 * size);
    expect(await ask('p10')).toBe('0000400000000000');
    const pkru = session.registers.numberOf('pkru').toString(16);
    expect(await ask(`p${pkru}`)).toBe('54555555');
    expect(await ask('pffff')).toBe('E16');
  });
});

describe('running', () => {
  it('stops at breakpoints in both directions', async () => {
    const { ask } = await start();
    expect(await ask('Z0,400006,1')).toBe('OK');
    expect(await ask('vCont;c:p64.-1')).toMatch(/^T05swbreak:;thread:p64\.64;.*10:0600400000000000;/);
    expect(await ask('vCont;c')).toMatch(/^T05replaylog:end;/);
    expect(await ask('vCont;c')).toMatch(/^T05replaylog:end;/);
    expect(await ask('bc')).toMatch(/^T05swbreak:;/);
    expect(await ask('z0,400006,1')).toBe('OK');
    expect(await ask('bc')).toMatch(/^T05replaylog:begin;.*10:0000400000000000;/);
  });

  it('steps the given thread', async () => {
    const { ask } = await start();
    expect(await ask('vCont;s:p64.65;c:p64.-1')).toMatch(/^T05thread:p64\.65;.*10:0600400000000000;/);
    expect(await ask('vCont;r400006,400008:p64.64;c')).toMatch(/^T05thread:p64\.64;/);
    expect(await ask('bs')).toMatch(/^T05thread:p64\.64;/);
  });

  it('selects the thread of the last stop', async () => {
    const { ask } = await start();
    await ask('Hgp64.64');
    expect(await ask('vCont;s:p64.65')).toMatch(/thread:p64\.65;/);
    expect(await ask('p0')).toBe('6500000000000000');
    expect(await ask('qC')).toBe('QCp64.65');
  });

  it('passes breakpoints to the target only when they change', async () => {
    const { ask, target } = await start();
    const set = 'Z0,400008,1;X3,220127';
    for (let round = 0; round < 2; round++) {
      await ask(set);
      await ask('vCont;s:p64.64');
      await ask('z0,400008,1');
    }
    expect(target.changes).toBe(1);
    await ask('Z0,400008,1;X3,220027');
    await ask('vCont;s:p64.64');
    expect(target.changes).toBe(3);
  });

  it('evaluates conditions here', async () => {
    const { ask } = await start([...line, at(0x400004, 100), at(0x40000a)]);
    // $rax == 100: rax is the tid in this program.
    await ask('Z0,400004,1;X7,26000022641327');
    expect(await ask('vCont;c')).toMatch(/^T05swbreak:;thread:p64\.64/);
  });

  it('says which watchpoint saw what', async () => {
    const write = { address: MEMORY + 8, value: 7 };
    const { ask, said } = await start([at(1), { ...at(2, 101), write }, at(3), at(4)]);
    await ask('Z2,1008,4');
    expect(await ask('vCont;c')).toMatch(/^T05watch:1008;thread:p64\.65;/);
    expect(said()).toBe('');
  });

  it('passes over signals that gdb does not want', async () => {
    const signal = { ...at(5), stop: { kind: 'signal', tid: 100, signal: 14, siginfo: null } as const };
    const { ask, target } = await start([at(1), signal, at(9), at(10)]);
    expect(await ask('vCont;c')).toMatch(/^T0e/);
    await ask('bc');
    expect(await ask('QPassSignals:e;14')).toBe('OK');
    expect(await ask('vCont;c')).toMatch(/^T05replaylog:end/);
    // The replay itself does not stop at them: a program may have a million.
    expect([...target.passed]).toEqual([14, 17]);
  });

  it('is interrupted', async () => {
    const { ask, session, target } = await start();
    target.endless = true;
    const reply = ask('vCont;c');
    setTimeout(() => (session.interruptRequested = true), 5);
    expect(await reply).toMatch(/^T02thread/);
  });
});

describe('processes', () => {
  const fork = (kind: 'fork' | 'vfork'): Instruction => ({ ...at(2), stop: { kind, tid: 100, child: 200 } });
  const exec: Instruction = { ...at(3, 200), stop: { kind: 'exec', tid: 200, path: '/bin/other' } };
  const exit: Instruction = { ...at(4), stop: { kind: 'exited', tid: 100, pid: 100, status: 0x300 } };
  async function forking(...program: Instruction[]): Promise<Awaited<ReturnType<typeof start>>> {
    const started = await start([at(1), ...program, at(5), at(6)]);
    started.target.taskList.push({ tid: 200, pid: 200, name: 'child' });
    return started;
  }

  it('shows a child, which gdb keeps or lets go', async () => {
    const { ask, session } = await forking(fork('fork'), exec, exit);
    expect(await ask('vCont;c')).toMatch(/^T05fork:pc8\.c8;thread:p64\.64;/);
    expect(await ask('qfThreadInfo')).toMatch(/pc8\.c8/);
    expect(await ask('D;c8')).toBe('OK');
    expect([...session.attached]).toEqual([100]);
    expect(await ask('vCont;c:p64.-1')).toMatch(/^T05replaylog:end;/);
  });

  it('follows into the child, across its exec, and not to before its fork', async () => {
    const { ask } = await forking(fork('fork'), exec, exit);
    await ask('vCont;c');
    await ask('Hgpc8.c8');
    expect(await ask('D;64')).toBe('OK');
    const reply = await ask('vCont;c:pc8.-1');
    expect(reply).toMatch(/^T05exec:2f62696e2f66616b65;thread:pc8\.c8;/);
    expect(await ask('bc')).toMatch(/^T05replaylog:begin;thread:pc8\.c8;/);
    expect(await ask('bs')).toMatch(/^T05replaylog:begin;/);
  });

  it('reports the end of a vfork to the parent that waits for it', async () => {
    const { ask } = await forking(fork('vfork'), exec, exit);
    await ask('vCont;c');
    await ask('D;c8');
    expect(await ask('vCont;c:p64.-1')).toMatch(/^T05vforkdone:;thread:p64\.64;/);
  });

  it('reports an exit while another process is held', async () => {
    const { ask } = await forking(fork('fork'), exit);
    await ask('vCont;c');
    expect(await ask('vCont;c')).toBe('W03;process:64');
  });

  it('stops before the last exit, from where it can go back', async () => {
    const { ask, said } = await forking(exit);
    expect(await ask('vCont;c')).toMatch(/^T05replaylog:end;/);
    expect(said()).toBe('[process 100 exited with code 03 here]\n');
    expect(await ask('bs')).toMatch(/^T05thread:p64\.64/);
  });

  it('stops before the first exit of tasks that end together', async () => {
    const { ask, target } = await start([at(1), at(2), at(3), { ...exit, tid: 101 }, at(5), at(6)]);
    target.firstEnd = 2;
    expect(await ask('vCont;c')).toMatch(/^T05replaylog:end;/);
    expect(target.at).toBe(1);
    expect(await ask('vCont;c')).toMatch(/^T05replaylog:end;/);
    expect(target.at).toBe(1);
  });
});

describe('run', () => {
  const run = (place = ''): string => `vRun;${place && `;${Buffer.from(place).toString('hex')}`}`;
  const monitor = (text: string): string => `qRcmd,${Buffer.from(text).toString('hex')}`;

  it('goes back to the start, a frame, the end or a checkpoint, and stops there', async () => {
    const { ask, target, said } = await start();
    const went = async (place?: string): Promise<number> => {
      await ask('vKill;64');
      expect(await ask(run(place))).toMatch(/^T00.*thread:p64\.6/);
      const { at } = target;
      // gdb continues by itself.
      expect(await ask('vCont;c')).toMatch(/^T00/);
      expect(target.at).toBe(at);
      return at;
    };
    await ask('vCont;c');
    expect(await went()).toBe(0);
    expect(await went('3')).toBe(3);
    await ask(monitor('checkpoint'));
    expect(await went()).toBe(0);
    expect(await went('c1')).toBe(3);
    await ask('vCont;c');
    expect(await went()).toBe(3);
    said();
    expect(await went('c7')).toBe(3);
    expect(said()).toMatch(/Checkpoint 7 not found/);
    await ask(monitor('delete-checkpoint 1'));
    expect(await went('what')).toBe(0);
    said();
    expect(await went('10000')).toBe(5);
    expect(said()).toBe('[the recording ends with frame 5]\n');
  });

  it('stays with the process that was debugged', async () => {
    const { ask, session, target } = await start();
    target.taskList.push({ tid: 200, pid: 200, name: 'child' });
    session.attached.clear();
    session.attach(200);
    expect(await ask(run('2'))).toMatch(/^T00.*thread:pc8\.c8;/);
  });
});

describe('siginfo', () => {
  const info = (session: FakeSession['session'], kind: 'replay' | 'diversion', text: string): void => {
    const target = kind === 'replay' ? session.replay : session.divertForWrite().target;
    Object.defineProperty(target, 'siginfo', { value: () => Buffer.from(text) });
  };

  it("is the replay's again after a call", async () => {
    const { ask, session } = await start();
    const read = (): Promise<string> => ask('qXfer:siginfo:read::0,100');
    info(session, 'replay', 'replay');
    await ask('P0=ff00000000000000');
    expect(await read()).toBe('E02');
    info(session, 'diversion', 'the call');
    expect(await read()).toBe('lthe call');
    await ask('P0=6400000000000000');
    expect(await read()).toBe('lreplay');
  });
});

describe('memory', () => {
  it('is read and searched', async () => {
    const { ask, target } = await start();
    target.memory.set([1, 2, 3, 0x24, 0x7d], 0x10);
    expect(await ask('m1010,5')).toBe('010203247d');
    expect(await ask('x1010,3')).toBe('b\x01\x02\x03');
    expect(await ask('m10fe,8')).toBe('0000');
    expect(await ask('m5000,4')).toBe('E0e');
    expect(await ask('mffffffffffffffff,4')).toBe('E0e');
    expect(await ask('qSearch:memory:1000;100;\x03\x24')).toBe('1,1012');
    expect(await ask('qSearch:memory:1000;100;xyz')).toBe('0');
    expect(await ask('qSearch:memory:0;fffffffffffffff6;\x03\x24')).toBe('1,1012');
  });

  it('files are those of the recording', async () => {
    const { ask } = await start();
    const hex = (text: string): string => Buffer.from(text).toString('hex');
    expect(await ask(`vFile:open:${hex('/bin/fake')},0,0`)).toBe('F3');
    expect(await ask('vFile:pread:3,400,4')).toBe('F7;program');
    expect((await ask('vFile:fstat:3')).length).toBe('F40;'.length + 64);
    expect(await ask('vFile:close:3')).toBe('F0');
    expect(await ask('vFile:pread:3,400,0')).toBe('F-1,9');
    expect(await ask(`vFile:open:${hex('/etc/passwd')},0,0`)).toBe('F-1,2');
    expect(await ask(`vFile:open:${hex('/bin/fake')},602,1ff`)).toBe('F-1,1e');
    expect(await ask(`vFile:readlink:${hex('/proc/100/exe')}`)).toBe('F9;/bin/fake');
    expect(await ask(`vFile:open:${hex('/proc/100/maps')},0,0`)).toBe('F3');
    expect(await ask('vFile:pread:3,400,0')).toMatch(/;1000-2000 r-xp 00000000 00:00 77 +\/bin\/fake\n$/);
  });
});

describe('damaged requests', () => {
  it('get an error and do no harm', async () => {
    const { ask } = await start();
    const bodies = [
      'm', 'mzz,1', 'm1000', 'm1000,ffffffffffffffff', 'X1000,4', 'G', 'Gzz', 'P', 'Pzz=0', 'P0=00', 'p',
      'Z0', 'Z0,zz,1', 'Z9,0,1', 'Z0,400000,1;X99,27', 'Hg', 'Hgp', 'Hgp1.2.3', 'Tpzz', 'vCont;', 'vCont;q',
      'vCont;r1', 'vCont;s:pffff.1', 'vFile:', 'vFile:open:zz', 'vFile:pread:3', 'qXfer:', 'qXfer:features:read:x',
      'qXfer:features:read:target.xml:ffffff,1', 'qRcmd,zz', 'qRcmd,', 'QPassSignals:zz', 'D;zz', 'bx', 'vAttach;1',
      'qSearch:memory:', 'qSearch:memory:0;0;', '\x00\x01', 'v', 'q', 'Q', 'H', 'qThreadExtraInfo,zz',
      'qSearch:memory:1000;ffffffffffffffff;x', 'hasOwnProperty', 'q__proto__',
    ]; // prettier-ignore
    for (const body of bodies)
      expect(await ask(body), body).toMatch(/^(?:E[0-9a-f]{2}|F-1,.*|OK|T.*|O.*|[0-9a-f]*|F0)$/);
    expect(await ask('qC')).toBe('QCp64.64');
  });
});

describe('diversions', () => {
  it('begin with a write', async () => {
    const { ask, diversions } = await start();
    expect(await ask('P0=ff00000000000000')).toBe('OK');
    expect(diversions).toHaveLength(1);
    expect(await ask('p0')).toBe('ff00000000000000');
    expect(Buffer.from(await ask('qRevenant.state'), 'hex').toString()).toBe('diversion 0');
    expect(await ask(`vCont;s:p64.64`)).toMatch(/^T05/);
    expect(diversions[0].at).toBe(1);
  });

  const monitor = (text: string): string => `qRcmd,${Buffer.from(text).toString('hex')}`;

  it('last until the command when they were begun by one', async () => {
    const { ask, diversions, target, said } = await start();
    await ask(monitor('diversion start'));
    await ask('M1000,1:ab');
    await ask('vCont;c');
    expect(diversions).toHaveLength(1);
    expect(target.at).toBe(0);
    expect(await ask('bc')).toMatch(/^T00/);
    expect(said()).toMatch(/no history/);
    await ask(monitor('diversion end'));
    expect(diversions[0].closed).toBe(true);
    // gdb is notified by the next request to run, which does not run.
    expect(await ask('qRevenant.pending')).toBe('1');
    expect(await ask('vCont;c')).toMatch(/^T00.*10:0000400000000000;/);
    expect(await ask('qRevenant.pending')).toBe('0');
    expect(target.at).toBe(0);
  });

  it('show output, and end when they cannot go on', async () => {
    const { ask, diversions, said } = await start([
      at(1),
      { ...at(2), stop: { kind: 'ended', tid: 100, reason: 'enough.' } },
      at(3),
    ]);
    await ask(monitor('diversion start'));
    said();
    diversions[0].output.push({ stream: 1, bytes: Buffer.from('hello\n') });
    expect(await ask('vCont;c')).toMatch(/^T00/);
    expect(said()).toBe('hello\n[diversion: enough.]\n');
    expect(await ask('vCont;c')).toMatch(/^T00/);
    expect(said()).toBe('[diversion: it cannot go on: enough. Leave it with: monitor diversion end]\n');
  });

  it('deliver the signals that gdb passes on', async () => {
    const signal = { ...at(5), stop: { kind: 'signal', tid: 100, signal: 10, siginfo: null } as const };
    const { ask, diversions } = await start([at(1), signal, at(9), at(10)]);
    await ask(monitor('diversion start'));
    expect(await ask('vCont;c')).toMatch(/^T1e/);
    await ask('vCont;C1e:p64.64;c');
    expect(diversions[0].signals).toEqual([10]);
  });
});

describe('monitor commands', () => {
  async function commands(): Promise<
    { say: (text: string) => Promise<string> } & Awaited<ReturnType<typeof start>>
  > {
    const started = await start();
    const say = async (text: string): Promise<string> => {
      expect(await started.ask(`qRcmd,${Buffer.from(text).toString('hex')}`)).toBe('OK');
      return started.said();
    };
    return { ...started, say };
  }

  it('print the position and jump', async () => {
    const { say, target, ask } = await commands();
    expect(await say('when')).toBe('Completed event: 0\n');
    expect(await say('when-ticks')).toBe('Current tick: 100\n');
    expect(await say('when-ticks 101')).toBe('Current tick: 101\n');
    expect(await say('when-tid')).toBe('Current tid: 100\n');
    expect(await say('when-tid 7')).toMatch(/no task 7/);
    expect(await say('when-end')).toBe('Event at end of recording: 5\n');
    expect(await say('elapsed-time')).toBe('Elapsed Time (s): 0.250000\n');
    expect(await say('absolute-time')).toBe('Absolute Time (s): 100.250000\n');
    expect(await say('recording')).toBe('Path of recording: "/traces/fake"\n');
    expect(await say('goto 3')).toMatch(/^After frame 3: task 100 \(main\) at 0x400006\n/);
    expect(target.at).toBe(3);
    expect(await ask('vCont;c')).toMatch(/^T00/);
    expect(await say('goto 99')).toMatch(/ends with frame 5/);
    expect(await say('goto')).toMatch(/Missing place/);
    expect(await say('seek-ticks 7')).toMatch(/^After frame 7/);
    expect(await say('seek-ticks 1000')).toBe('No event found matching specified ticks target.\n');
  });

  it('go to places as people write them, past breakpoints, and name where they are', async () => {
    const { say, target, ask } = await commands();
    await ask('Z0,400002,1');
    await say('goto 3');
    expect(await say('goto x')).toBe('Invalid place x.\n');
    expect(target.at).toBe(3);
    expect(await say('goto insert:2')).toMatch(/^After frame 1: task 100/);
    expect(await ask('vCont;c')).toMatch(/^T00/);
    expect(await say('moment')).toBe('1:0x400002:2\n');
  });

  it('stop the program before its end if nothing is left of it at a place', async () => {
    const { say, target, ask } = await commands();
    const tasks = target.taskList;
    Object.defineProperty(target, 'tasks', { value: () => (target.at >= 4 ? [] : tasks) });
    expect(await say('goto 5')).toMatch(/after frame 5 nothing is left.*\nAfter frame 3: task 100/);
    expect(await ask('vCont;c')).toMatch(/^T00/);
  });

  it('remember places', async () => {
    const { say, target } = await commands();
    expect(await say('checkpoints')).toBe('No checkpoints.\n');
    expect(await say('checkpoint the beginning')).toBe('Checkpoint 1 at the beginning\n');
    await say('goto 2');
    await say('checkpoint');
    expect(await say('checkpoints')).toMatch(/^ID\tWhen\tWhere\n1\t0\tthe beginning\n2\t2\ttask/);
    await say('restart 1');
    expect(target.at).toBe(0);
    for (const [word, answer] of [
      ['', "'delete checkpoint' requires an argument"],
      [' 0x1', 'Invalid checkpoint number 0x1.'],
      [' -1', 'No checkpoint number -1.'],
      [` ${'9'.repeat(40)}`, `No checkpoint number ${'9'.repeat(40)}.`],
      [' 1', 'Deleted checkpoint 1.'],
    ])
      expect(await say(`delete-checkpoint${word}`)).toBe(`${answer}\n`);
    expect(await say('restart 1')).toBe('Checkpoint 1 not found.\nValid checkpoints: 2\n');
  });

  it("can be sent in rr's way", async () => {
    const { ask, target } = await commands();
    const hex = (text: string): string => Buffer.from(text).toString('hex');
    const rr = async (text: string): Promise<string> =>
      Buffer.from(await ask(`qRRCmd:${text}`), 'hex').toString();
    expect(await rr('when:100')).toBe('Completed event: 0\n');
    expect(await rr('when')).toBe('Completed event: 0\n');
    expect(await rr('when-ticks:101')).toBe('Current tick: 101\n');
    expect(await rr('when-tid:-1')).toBe('Current tid: 100\n');
    expect(await rr(`checkpoint:100:${hex('main at a.c:1')}`)).toBe('Checkpoint 1 at main at a.c:1\n');
    expect(await rr('info checkpoints:100')).toBe('ID\tWhen\tWhere\n1\t0\tmain at a.c:1\n');
    expect(await rr(`delete checkpoint:100:${hex('2')}`)).toBe('No checkpoint number 2.\n');
    expect(await rr(hex('when'))).toBe('Completed event: 0\n');
    expect(await rr(`${hex('delete checkpoint')}:${hex('2')}`)).toBe('No checkpoint number 2.\n');
    expect(await rr('frob:100')).toBe("Command 'frob' not found.\n");
    expect(await ask('qRRCmd:checkpoint:100:zz')).toMatch(/^E/);
    expect(target.at).toBe(0);
  });

  it('explain themselves', async () => {
    const { say } = await commands();
    expect(await say('help')).toMatch(/^when .*\n.*goto PLACE/s);
    expect(await say('frob')).toMatch(/not a monitor command: when, when-end,/);
    expect(await say('wh')).toMatch(/ambiguous/);
    expect(await say('div status')).toBe('In the replay.\n');
    expect(await say('frames 3-4')).toBe('frames 3 to 4\n');
    expect(await say('tasks')).toMatch(/^\* 100 {2}process 100 {2}main\n/);
  });
});
