/** Agent expressions and values for tests of what evaluates them. */
import { Reg } from '../../src/engine/base/registers.js';

/** Below a limit; the same sequence for the same seed. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Small ones, large ones and those at the ends. */
export function randomValue(random: (below: number) => number): bigint {
  const value = BigInt(random(2 ** 30)) << BigInt(random(34));
  return BigInt.asUintN(64, [value, -value, BigInt(random(4)), -1n, 1n << 63n][random(5)]);
}

/** An agent expression with registers by their slots; what it loads lies in the 64 bytes from `data` on. */
export function randomExpression(random: (below: number) => number, data: number): Uint8Array {
  const code: number[] = [];
  const pick = <T>(list: readonly T[]): T => list[random(list.length)];
  const leaf = (): void => {
    const kind = random(4);
    if (kind === 0) code.push(0x22, random(256));
    else if (kind === 1) code.push(0x25, ...Array.from({ length: 8 }, () => random(256)));
    else if (kind === 2) code.push(0x24, ...[24, 16, 8, 0].map((by) => ((data + random(56)) >> by) & 0xff));
    else
      code.push(
        0x26,
        0,
        pick([Reg.rax, Reg.rbx, Reg.rcx, Reg.rdx, Reg.rsp, Reg.eflags, Reg.rip, Reg.rdi, Reg.r8, Reg.r13]),
      );
    // Memory, where it is an address.
    if (kind === 2) code.push(0x17 + random(4));
  };
  const expression = (depth: number): void => {
    if (depth === 0) return leaf();
    expression(depth - 1);
    const kind = random(6);
    if (kind === 0) code.push(pick([0x0e, 0x12]));
    else if (kind === 1) code.push(pick([0x16, 0x2a]), random(70));
    else if (kind === 2) {
      // if_goto behind what the other way computes: both leave one value.
      const at = code.length;
      code.push(0x20, 0, at + 8, 0x22, random(256), 0x21, 0, at + 10, 0x22, random(256));
    } else {
      expression(random(depth));
      if (kind === 3) code.push(0x2b);
      if (kind === 4) code.push(0x28, 0x33, 0x29);
      code.push(pick([2, 3, 4, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x0f, 0x10, 0x11, 0x13, 0x14, 0x15]));
    }
  };
  expression(1 + random(4));
  return Uint8Array.from([...code, 0x27]);
}
