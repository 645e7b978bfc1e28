/** Code that rr patched, and code that reads itself: a debugger's changes must be invisible. */
import { afterAll, beforeAll, expect } from 'vitest';
import type { Gva } from '../../src/engine/base/address.js';
import { Reg, getRegister } from '../../src/engine/base/registers.js';
import { isRecorders } from '../../src/engine/guest/stops/patched-code.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { TravelTarget } from '../../src/engine/travel/target.js';
import { acquireMachine } from '../machines.js';
import { caseTrace, itOn } from '../collections.js';
import { goTo, open, run, symbol } from './open.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
}, 60_000);
afterAll(() => transport.close());

const registersOf = (target: TravelTarget): string =>
  [Reg.rip, Reg.rsp, Reg.rax, Reg.rbx, Reg.rdi]
    .map((slot) => getRegister(target.registers(target.currentTid), slot).toString(16))
    .join();

/** Runs to the entry of `main`. */
function toMain(target: TravelTarget): void {
  goTo(target, 60);
  const breakpoint = { pid: null, address: symbol(target, 'main') };
  target.addBreakpoint(breakpoint);
  expect(run(target).kind).toBe('breakpoint');
  target.removeBreakpoint(breakpoint);
}

itOn(caseTrace('asmcall'), 'stops after a patched instruction if a breakpoint is inside of it', (folder) => {
  const { target, close } = open(transport, folder);
  try {
    toMain(target);
    const start = symbol(target, 'raw_getpid');
    // The CMP after SYSCALL, which rr patched together with it at the first call.
    const inside = { pid: null, address: (start + 7) as Gva };
    target.addBreakpoint(inside);
    const stops = [run(target), run(target), run(target)];
    expect(stops).toMatchObject(Array(3).fill({ kind: 'breakpoint', address: start + 13 }));
    expect(run(target).kind).toBe('exited');
    const back = [0, 1, 2, 3].map(() => run(target, 'continue', 'backward'));
    expect(back).toMatchObject([...stops, { kind: 'history-end' }]);
  } finally {
    close();
  }
});

itOn(caseTrace('special'), 'steps over a patched instruction, forwards and backwards', (folder) => {
  const { target, close } = open(transport, folder);
  try {
    toMain(target);
    const tid = target.currentTid;
    const begin = symbol(target, 'main');
    const end = begin + 0x200;
    const space = target.session.stand().core.tasks.get(tid)?.space;
    expect(space).toBeDefined();
    const places = [registersOf(target)];
    // Through raw_getpid and the trapped instructions before it, into the first function of the C library.
    for (let rip = begin as number; rip >= symbol(target, 'raw_getpid') && rip < end; rip = target.rip(tid)) {
      expect(run(target, 'step', 'forward', tid).kind).toBe('step');
      const now = target.session.stand().core.tasks.get(tid);
      expect(now && isRecorders(now.space, target.rip(tid))).toBe(false);
      places.push(registersOf(target));
    }
    expect(places.length).toBeGreaterThan(20);
    for (const place of places.slice(0, -1).toReversed()) {
      expect(run(target, 'step', 'backward', tid).kind).toBe('step');
      expect(registersOf(target)).toBe(place);
    }
  } finally {
    close();
  }
});

itOn(caseTrace('selfsum'), 'is not seen by a program that reads its own code', (folder) => {
  const written: Buffer[] = [];
  const { target, close } = open(transport, folder, {
    output: (_stream, bytes) => written.push(Buffer.from(bytes)),
  });
  try {
    toMain(target);
    target.addBreakpoint({ pid: null, address: symbol(target, 'work') });
    expect(run(target).kind).toBe('breakpoint');
    expect(run(target).kind).toBe('exited');
    expect(Buffer.concat(written).toString()).toBe('same 22\n4019175474\n');
  } finally {
    close();
  }
});
