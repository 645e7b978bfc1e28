/** Stepping in a diversion: the trap flag is the debugger's, but a program that loads it has it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gva } from '../../src/engine/base/address.js';
import { Reg, getUnsigned, setSigned } from '../../src/engine/base/registers.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { startDiversion } from '../../src/diversion/start.js';
import type { DebugStop, MutableTarget } from '../../src/engine/target.js';
import { acquireMachine } from '../machines.js';
import { openReplay, traceFolder, type Replay } from './fixtures.js';

const AREA = gva(0x2000_0000);
const STACK = AREA + 0x1800;
const [READ_WRITE_EXECUTE, TRAP, SIGTRAP] = [7, 1 << 8, 5];

let transport: VcpuTransport;
let replay: Replay;
let target: MutableTarget;
beforeAll(async () => {
  transport = await acquireMachine();
  replay = openReplay(transport, traceFolder('skylake-pku/tree')!);
  replay.advanceTo(100);
});
afterAll(() => {
  replay.close();
  transport.close();
});

/** Runs `work` in a diversion whose task is at this code, with the words of `stack` on its stack. */
function standingAt(code: readonly number[], stack: readonly number[], work: () => void): void {
  target = startDiversion(replay.session.stand());
  try {
    const tid = target.currentTid;
    expect(target.mapMemory(tid, AREA, gva(AREA + 0x2000), READ_WRITE_EXECUTE)).toBe(true);
    target.writeMemory(tid, AREA, Uint8Array.from(code));
    target.writeMemory(tid, gva(STACK), new Uint8Array(BigUint64Array.from(stack.map(BigInt)).buffer));
    const registers = target.registers(tid);
    setSigned(registers, Reg.rip, AREA);
    setSigned(registers, Reg.rsp, STACK);
    target.setRegisters(tid, registers);
    work();
  } finally {
    target.close();
  }
}

function step(): DebugStop {
  target.begin({ direction: 'forward', tid: target.currentTid, mode: { kind: 'step' } });
  for (let turns = 0; turns < 1000; turns++) {
    const stop = target.poll();
    if (stop) return stop;
  }
  throw new Error('the step does not end');
}

const flag = (): number => target.registers(target.currentTid)[2 * Reg.eflags] & TRAP;
const rip = (): number => getUnsigned(target.registers(target.currentTid), Reg.rip);
const word = (at: number): number => {
  const bytes = new Uint8Array(8);
  target.readMemory(target.currentTid, gva(at), bytes);
  return Number(new DataView(bytes.buffer).getBigUint64(0, true));
};

const NOP = 0x90;

it.each([
  ['IRETQ', [0x48, 0xcf, NOP, NOP], [AREA + 2, 0x33, 0x202 | TRAP, STACK, 0x2b], 2],
  ['POPFQ', [0x9d, NOP, NOP], [0x202 | TRAP], 1],
])('%s loads a trap flag that stays the program’s, and whose trap is its signal', (_, code, stack, next) => {
  standingAt(code, stack, () => {
    expect(step().kind).toBe('step');
    expect([rip(), flag()]).toEqual([AREA + next, TRAP]);
    expect(step()).toMatchObject({ kind: 'signal', signal: SIGTRAP });
    expect(rip()).toBe(AREA + next + 1);
  });
});

it('PUSHFQ does not see the debugger’s flag, after MOV SS either', () => {
  standingAt([0x9c, 0x8c, 0xd0, 0x8e, 0xd0, 0x9c, NOP], [], () => {
    expect(step().kind).toBe('step');
    expect([rip(), flag(), word(STACK - 8) & TRAP]).toEqual([AREA + 1, 0, 0]);
    // MOV EAX, SS; then MOV SS, EAX, which lets PUSHFQ run as well or not.
    for (let steps = 0; rip() < AREA + 6 && steps < 3; steps++) expect(step().kind).toBe('step');
    expect([rip(), flag(), word(STACK - 16) & TRAP]).toEqual([AREA + 6, 0, 0]);
  });
});

it('INT1 is a SIGTRAP after it, whether stepped or not', () => {
  standingAt([0xf1, NOP], [], () => {
    expect(step()).toMatchObject({ kind: 'signal', signal: SIGTRAP });
    expect([rip(), flag()]).toEqual([AREA + 1, 0]);
  });
});
