/**
 * Threads that are in recorded calls while another thread is the current one: they keep waiting, even if their
 * instruction was patched.
 */
import { afterAll, beforeAll, expect } from 'vitest';
import type { Gva } from '../../src/engine/base/address.js';
import { Sys } from '../../src/engine/base/linux.js';
import { Reg, getUnsigned, setSigned, type RegisterWords } from '../../src/engine/base/registers.js';
import type { MutableTarget } from '../../src/engine/target.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { MappedSymbols } from '../../src/engine/guest/mapped-symbols.js';
import { startDiversion } from '../../src/diversion/start.js';
import { MACHINE, acquireMachine } from '../machines.js';
import { runCli } from '../cli/run-cli.js';
import { caseTrace, itOn } from '../collections.js';
import { openReplay, outputOf, runOn, traceFolder, type Replay } from './fixtures.js';

const CLONES: readonly number[] = [Sys.clone, Sys.vfork];

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

for (const [name, question, answer] of [
  ['sempatched', 'pause_a_while()', '1'],
  ['pollpatched', 'outcome()', '99000'],
])
  itOn(
    caseTrace(name),
    `${name}: a call whose instruction the recorder replaced is waited in`,
    async (trace) => {
      const line = ['call', trace, '--machine', MACHINE, '--at', 'spot:1', question];
      const { stdout, stderr } = await runCli(...line);
      expect(stdout, stderr).toBe(`${question} = ${answer}\n`);
    },
  );

for (const [name, first, last, printed] of [
  ['sempatched', 149, 157, 'end\n'],
  ['pollpatched', 155, 164, 'end 1\n'],
] as const)
  itOn(
    caseTrace(name),
    `${name}: a thread that rr’s library sets up continues from anywhere in that`,
    (trace) => {
      const replay = openReplay(transport, trace);
      for (let frame = first; frame < last; frame++) {
        replay.advanceTo(frame);
        const target = startDiversion(replay.session.stand());
        expect([frame, runOn(target)]).toMatchObject([frame, { kind: 'exited', status: 0 }]);
        expect(outputOf(target)).toBe(printed);
        target.close();
      }
      replay.close();
    },
  );

/** One by one, as gdb writes changed registers: orig_rax after all others. */
function giveRegisters(target: MutableTarget, tid: number, words: RegisterWords): void {
  const order = [...Array(words.length / 2).keys()].filter(
    (slot) => slot !== Reg.rip && slot !== Reg.orig_rax,
  );
  for (const slot of [...order, Reg.rip, Reg.orig_rax]) {
    const next = target.registers(tid);
    next.set(words.subarray(2 * slot, 2 * slot + 2), 2 * slot);
    target.setRegisters(tid, next);
  }
}

/** As debuggers do: other registers for a call of `usleep`, and those from before it when it returns. */
function sleepIn(target: MutableTarget, tid: number, usleep: Gva, micros: number): void {
  const before = target.registers(tid).slice();
  const called = before.slice();
  const address = getUnsigned(before, Reg.rip) as Gva;
  const rsp = Math.floor((getUnsigned(before, Reg.rsp) - 256) / 16) * 16 - 8;
  const word = new Uint8Array(8);
  new DataView(word.buffer).setBigUint64(0, BigInt(address), true);
  target.writeMemory(tid, rsp as Gva, word);
  setSigned(called, Reg.rsp, rsp);
  setSigned(called, Reg.rip, usleep);
  setSigned(called, Reg.rdi, micros);
  setSigned(called, Reg.orig_rax, -1);
  const returned = { address, pid: null, condition: (hit: number): boolean => hit === tid };
  target.addBreakpoint(returned);
  giveRegisters(target, tid, called);
  expect(runOn(target, 0, tid)).toMatchObject({ kind: 'breakpoint', tid });
  target.removeBreakpoint(returned);
  giveRegisters(target, tid, before);
}

function addressOf(target: MutableTarget, replay: Replay, tid: number, name: string): Gva {
  const { symbolizer } = replay.session.stand().core;
  return new MappedSymbols(symbolizer, target.mappings(tid), null).find(name)!.address;
}

for (const [name, frame, printed] of [
  ['sempatched', 162, 'end\n'],
  ['pollpatched', 168, 'end 1\n'],
] as const)
  itOn(
    caseTrace(name),
    `${name}: a waiting thread that a debugger calls in goes back into its call`,
    (trace) => {
      const replay = openReplay(transport, trace);
      replay.advanceTo(frame);
      const source = replay.session.stand();
      const main = source.core.firstTid;
      expect(source.tid).not.toBe(main);
      const target = startDiversion({ ...source, tid: main });
      // Meanwhile the other thread wakes it.
      sleepIn(target, main, addressOf(target, replay, main, 'usleep'), 300_000);
      expect(runOn(target, 0, main)).toMatchObject({ kind: 'exited', pid: main, status: 0 });
      expect(outputOf(target)).toBe(printed);
      target.close();
      replay.toEnd();
      replay.close();
    },
  );

itOn(traceFolder('zen2/spawn'), 'the parent of a vfork waits while its child has the same stack', (trace) => {
  const replay = openReplay(transport, trace);
  let tried = 0;
  for (let frame = 50; tried < 2 && frame < 400; frame++) {
    replay.advanceTo(frame);
    const source = replay.session.stand();
    const { core, tid } = source;
    const child = core.tasks.get(tid);
    const parent = [...core.tasks.values()].find(
      (task) => task !== child && task.space === child?.space && CLONES.includes(task.syscall),
    );
    if (!child || !parent || child.syscall >= 0) continue;
    tried++;
    const target = startDiversion(source);
    const before = target.registers(parent.tid).slice();
    sleepIn(target, tid, addressOf(target, replay, tid, 'usleep'), 1000);
    expect(getUnsigned(target.registers(parent.tid), Reg.rip)).toBe(getUnsigned(before, Reg.rip));
    target.close();
  }
  replay.toEnd();
  replay.close();
  expect(tried).toBeGreaterThan(0);
});
