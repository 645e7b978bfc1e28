import { describe, expect, it } from 'vitest';
import {
  fakeSession,
  MEMORY,
  type FakeSession,
  type Instruction,
} from '../../../test/debugger/fake-target.js';
import { handlePacket } from './dispatch.js';

const at = (rip: number, tid = 100): Instruction => ({ tid, rip });
const line = [at(0x400000), at(0x400002), at(0x400004, 101), at(0x400006), at(0x400008)];
const hex = (text: string): string => Buffer.from(text).toString('hex');

/** LLDB 14's handshake. */
const HANDSHAKE = [
  'qSupported:xmlRegisters=i386,arm,mips,arc;multiprocess+;fork-events+;vfork-events+',
  'QThreadSuffixSupported',
  'QListThreadsInStopReply',
  'QEnableErrorStrings',
];

type Ask = (body: string) => Promise<string>;

async function start(program: readonly Instruction[] = line): Promise<FakeSession & { ask: Ask }> {
  const fake = fakeSession(program);
  const ask: Ask = (body) => handlePacket(fake.session, body);
  for (const packet of HANDSHAKE) await ask(packet);
  return { ...fake, ask };
}

describe('LLDB', () => {
  it('gets what it requests, unlike gdb', async () => {
    const { ask } = await start();
    expect((await ask(HANDSHAKE[0])).split(';')).toContain('qXfer:libraries-svr4:read+');
    for (const packet of HANDSHAKE.slice(1)) expect(await ask(packet)).toBe('OK');
    expect(await ask('qSupported:multiprocess+;xmlRegisters=i386;qRelocInsn+')).not.toMatch(/libraries/);
  });

  it('learns of machine, process and memory', async () => {
    const { ask } = await start();
    const triple = `triple:${hex('x86_64-pc-linux-gnu')};ptrsize:8;endian:little;`;
    expect(await ask('qHostInfo')).toBe(
      `${triple}watchpoint_exceptions_received:after;default_packet_timeout:600;`,
    );
    expect(await ask('qProcessInfo')).toBe(`pid:64;${triple}ostype:linux;`);
    expect(await ask('qProcessInfoPID:100')).toBe(`pid:64;name:${hex('/bin/fake')};${triple}`);
    expect(await ask('qMemoryRegionInfo:1abc')).toBe(
      `start:1000;size:1000;permissions:rx;flags:;name:${hex('/bin/fake')};`,
    );
    expect(await ask('qMemoryRegionInfo:10')).toBe('start:0;size:1000;');
    expect(await ask('qMemoryRegionInfo:2000')).toBe('start:2000;size:7fffffffe000;');
    expect(await ask('qMemoryRegionInfo:ffffffffff600000')).toMatch(/^E/);
    expect(await ask('qShlibInfoAddr')).toBe(`E16;${hex('the program has no dynamic linker')}`);
  });

  it('gets a reason with every stop, and all threads', async () => {
    const { ask } = await start();
    const where = hex('after frame 0');
    expect(await ask('?')).toMatch(
      new RegExp(`^T05reason:exception;description:${where};library:;thread:p64.64;hexname:${hex('main')};`),
    );
    await ask('Z0,400006,1');
    expect(await ask('vCont;c')).toMatch(
      /^T05reason:breakpoint;thread:p64\.64;.*threads:p64\.64,p64\.65;thread-pcs:400006,400006;$/,
    );
    expect(await ask('vCont;s:64')).toMatch(/^T05reason:trace;thread:p64\.64;/);
    const end = `reason:exception;description:${hex('the recording ends here')};replaylog:end;`;
    expect(await ask('vCont;s:64')).toMatch(new RegExp(`^T05${end}thread:p64.64;`));
    expect(await ask('vCont;s:64')).toMatch(new RegExp(`^T05${end}thread:p64.64;`));
    expect(await ask('qThreadStopInfo64')).toMatch(new RegExp(`^T05${end}thread:p64.64;`));
    expect(await ask('qThreadStopInfo65')).toMatch(/^T00thread:p64\.65;hexname:/);
    expect(await ask('qThreadStopInfo99')).toMatch(/^E03;/);
  });

  it("has Linux's numbers of signals", async () => {
    const signal = { ...at(5), stop: { kind: 'signal', tid: 100, signal: 10, siginfo: null } as const };
    const { ask } = await start([at(1), signal, at(9), at(10)]);
    expect(await ask('vCont;c')).toMatch(/^T0areason:signal;/);
    await ask('bc');
    expect(await ask('QPassSignals:e;a')).toBe('OK');
    expect(await ask('vCont;c')).toMatch(/replaylog:end/);
  });

  it('is notified of the end of a vfork, and of a new program', async () => {
    const fork = { ...at(2), stop: { kind: 'vfork', tid: 100, child: 200 } as const };
    const exec = { ...at(3, 200), stop: { kind: 'exec', tid: 200, path: '/bin/other' } as const };
    const own = { ...at(4), stop: { kind: 'exec', tid: 100, path: '/bin/other' } as const };
    const { ask, target } = await start([at(1), fork, exec, own, at(5), at(6)]);
    target.taskList.push({ tid: 200, pid: 200, name: 'child' });
    expect(await ask('c')).toMatch(/^T05vfork:pc8\.c8;/);
    await ask('D;c8');
    expect(await ask('c')).toMatch(/^T05vforkdone:;reason:vforkdone;thread:p64\.64;/);
    expect(await ask('c')).toMatch(/^T05reason:exec;exec:/);
  });

  it('sends the thread after requests about registers', async () => {
    const { ask } = await start();
    expect(await ask('p0;thread:0065;')).toBe('6500000000000000');
    expect(await ask('p0;thread:64;')).toBe('6400000000000000');
    expect((await ask('g;thread:65;')).slice(0, 16)).toBe('6500000000000000');
    expect(await ask('P0=6500000000000000;thread:65;')).toBe('OK');
    expect(await ask('p0;thread:99;')).toMatch(/^E03;/);
  });

  it('keeps its allocations between diversions', async () => {
    const { ask, diversions } = await start();
    const address = await ask('_M1000,rwx');
    expect(address).toBe('200000000000');
    expect(await ask('_M10,rw')).toBe('200000001000');
    expect(await ask(`qMemoryRegionInfo:${address}`)).toBe(
      `start:${address};size:1000;permissions:rwx;flags:;`,
    );
    expect(await ask(`M${address},2:abcd`)).toBe('OK');
    expect(await ask(`m${address},3`)).toBe('abcd00');
    expect(diversions).toHaveLength(0);

    await ask('P0=ff00000000000000;thread:64;');
    Object.assign(diversions[0], {
      readMemory: (_tid: number, start: number, into: Uint8Array) => {
        if (start === 0x200000000000) into.set([1, 2, 3]);
        return into.length;
      },
    });
    await ask('P0=6400000000000000;thread:64;');
    await ask('vCont;s:64');
    expect(diversions[0].closed).toBe(true);
    expect(await ask(`m${address},3`)).toBe('010203');
    expect(await ask(`_m${address}`)).toBe('OK');
    expect(await ask(`_m${address}`)).toMatch(/^E/);
    expect(await ask(`m${address},3`)).toMatch(/^E0e/);
    for (const bad of ['_M', '_Mzz,r', '_M10,q', '_Mffffffffff,rw', '_m', '_x', '_'])
      expect(await ask(bad)).toMatch(/^(?:E|$)/);
    expect(await ask(`m${MEMORY.toString(16)},1`)).toBe('00');
  });
});
