/** gdb's side of the protocol, against a recording that needs no machine. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import path from 'node:path';
import { DebugServer, parseAddress } from '../../src/debugger/server.js';
import { fakeSession, MEMORY, type FakeSession, type Instruction } from './fake-target.js';
import { runGdb } from './gdb.js';

const at = (rip: number, tid = 100): Instruction => ({ tid, rip });
const program = [at(0x400000), at(0x400002), at(0x400004, 101), at(0x400006), at(0x400008), at(0x40000a)];
const script = path.resolve(import.meta.dirname, '../../src/debugger/revenant-gdb.py');

let server: DebugServer;
let fake: FakeSession;
const failures: unknown[] = [];

beforeAll(async () => {
  server = await DebugServer.listen({
    address: parseAddress('0'),
    open: async () => {
      fake = fakeSession(program);
      fake.target.memory.set(Buffer.from('some text in memory\0'), 0x20);
      return { session: fake.session, close() {} };
    },
    onFailure: (error) => failures.push(error),
  });
});
afterAll(async () => {
  await server.close();
  expect(failures).toEqual([]);
});

const gdb = async (...commands: string[]): Promise<string> => {
  const connect = `target extended-remote ${server.endpoint}`;
  return (await runGdb([`source ${script}`, 'set confirm off', connect, ...commands])).text;
};

describe('gdb', () => {
  it('understands registers, memory and threads', async () => {
    const text = await gdb(
      'info threads', 'p $rip', 'p/x $pkru', 'p $ymm3.v8_float', 'p $st0', 'p $orig_rax', 'p $fs_base', 'info registers eflags mxcsr',
      `x/s ${MEMORY + 0x20}`, 'find 0x1000, +0xff, (char)\'t\', (char)\'e\'', 'info proc mappings', 'info auxv',
    ); // prettier-ignore
    expect(text).toMatch(/\* 1 +Thread 100\.100 "main".*\n +2 +Thread 100\.101 "worker"/);
    expect(text).toMatch(/\$1 = \(void \(\*\)\(\)\) 0x400000/);
    expect(text).toMatch(/\$2 = 0x55555554/);
    expect(text).toMatch(/\$3 = \{0, 0, 0, 0, 0, 0, 0, 0\}/);
    expect(text).toMatch(/mxcsr +0x1f80 +\[ IM DM ZM OM UM PM \]/);
    expect(text).toMatch(/"some text in memory"/);
    expect(text).toMatch(/0x1025\n/);
    expect(text).toMatch(/0x1000 +0x2000 +0x1000 +0x0 +r-xp +\/bin\/fake/);
    expect(text).toMatch(/AT_PAGESZ/);
  });

  it('runs both ways and learns of jumps', async () => {
    const text = await gdb(
      'break *0x400006', 'continue', 'reverse-continue', 'goto 4', 'p $pc', 'monitor goto 1', 'p $pc', 'when', 'checkpoint here',
      'stepi', 'info checkpoints', 'restart 1', 'p $pc', 'delete breakpoints', 'continue', 'reverse-stepi', 'run 2', 'p $pc', 'run 99', 'when',
    ); // prettier-ignore
    expect(text).toMatch(/Breakpoint 1, 0x0*400006/);
    expect(text).toMatch(/No more reverse-execution history/);
    expect(text).toMatch(/\$1 = .* 0x400008/);
    expect(text).toMatch(/\$2 = .* 0x400002/);
    expect(text).toMatch(/Completed event: 1\n/);
    expect(text).toMatch(/1\t1\there\n/);
    expect(text).toMatch(/\$3 = .* 0x400002/);
    expect(text).toMatch(/\$4 = .* 0x400004/);
    expect(text).toMatch(/ends with frame 6[^]* stopped\.[^]*Completed event: 6\n/);
    expect(text).not.toMatch(/Unknown remote|odd length/);
  });

  it('evaluates conditions on our side', async () => {
    const text = await gdb(
      'set debug remote 1',
      'break *0x400004 if $rax == 7',
      'break *0x400008 if $rax == 100',
      'continue',
    );
    expect(text).toMatch(/Sending packet: \$Z0,400004,1;X[0-9a-f]+,/);
    expect(text).toMatch(/Breakpoint 2, .*0x0*400008 in/s);
  });

  it('begins and ends diversions', async () => {
    const text = await gdb(
      'diversion start', 'python print(revenant_gdb.state())', 'set var *(char *) 0x1020 = 0x53', 'stepi', `x/s ${MEMORY + 0x20}`, 'diversion end',
      'python print(revenant_gdb.state())', `x/s ${MEMORY + 0x20}`, 'p $pc',
    ); // prettier-ignore
    expect(text).toMatch(/diversion 0\n/);
    expect(text).toMatch(/"Some text in memory"/);
    expect(text).toMatch(/replay 0\n.*"some text in memory"\n\$1 = .* 0x400000/s);
    expect(fake.diversions.map(({ closed }) => closed)).toEqual([true]);
  });
});
