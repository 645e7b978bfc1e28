/**
 * Branches to non-canonical addresses. A processor raises #GP at the branch, with the stack pointer
 * unchanged (SDM vol. 2, CALL, JMP, RET, IRET); QEMU's emulator takes the branch and raises #GP at
 * its target. The return address of a call stays below the stack pointer, as on processors.
 */
import type * as Iced from 'iced-x86';
import { Reg, getRegister, setRegister, type RegisterWords } from '../base/registers.js';
import { MAX_INSTRUCTION_LENGTH } from './decode.js';
import { iced } from './iced.js';
import { memoryAddress, registerValue, withInstruction } from './operands.js';

/** Reads memory as the program sees it; returns how many bytes are readable. */
export type MemoryReader = (address: bigint, into: Uint8Array) => number;

/** True where bits 63 to 47 of rip are not all equal. */
export function isWild(registers: RegisterWords): boolean {
  const top = registers[2 * Reg.rip + 1] >>> 15;
  return top !== 0 && top !== 0x1_ffff;
}

/**
 * Whether the instruction at the rip of `before` is a branch to the wild state `after`, judged by rip and rsp.
 */
export function leadsTo(before: RegisterWords, after: RegisterWords, read: MemoryReader): boolean {
  const rip = getRegister(before, Reg.rip);
  const code = new Uint8Array(MAX_INSTRUCTION_LENGTH);
  const length = read(rip, code);
  if (length === 0 || !isWild(after)) return false;
  const rsp = getRegister(before, Reg.rsp);
  const target = getRegister(after, Reg.rip);
  const moved = BigInt.asIntN(64, getRegister(after, Reg.rsp) - rsp);
  return withInstruction(code.subarray(0, length), rip, (instruction) => {
    const { Mnemonic } = iced();
    const dropped = instruction.opCount === 1 ? BigInt(instruction.immediate16) : 0n;
    const returns = (size: bigint): boolean => readWord(read, rsp) === target && moved === size + dropped;
    switch (instruction.mnemonic) {
      case Mnemonic.Ret:
        return returns(8n);
      case Mnemonic.Retf:
        return returns(16n);
      case Mnemonic.Iretq:
        return readWord(read, rsp) === target && readWord(read, rsp + 24n) === getRegister(after, Reg.rsp);
      case Mnemonic.Jmp:
        return isIndirect(instruction) && moved === 0n;
      case Mnemonic.Call:
        return isIndirect(instruction) && moved === (instruction.isCallFarIndirect ? -16n : -8n);
      default:
        return false;
    }
  });
}

/** Undoes the branch: rip, rsp and flags as before it. */
export function undoBranch(before: RegisterWords, registers: RegisterWords): void {
  for (const slot of [Reg.rip, Reg.rsp, Reg.eflags])
    registers.set(before.subarray(2 * slot, 2 * slot + 2), 2 * slot);
}

/**
 * Undoes a call to the wild rip, found by its return address, if the position of the branch is not known otherwise.
 * @returns false if no indirect call there has this target: it was another branch
 */
export function undoCall(registers: RegisterWords, read: MemoryReader): boolean {
  const rsp = getRegister(registers, Reg.rsp);
  const next = readWord(read, rsp);
  if (next === null || !isWild(registers)) return false;
  const before = registers.slice();
  setRegister(before, Reg.rsp, BigInt.asUintN(64, rsp + 8n));
  for (let length = MAX_INSTRUCTION_LENGTH; length >= 2; length--) {
    const code = new Uint8Array(length);
    const start = next - BigInt(length);
    if (read(start, code) < length) continue;
    const target = withInstruction(code, start, (instruction) =>
      instruction.length === length && instruction.isCallNearIndirect
        ? targetOf(instruction, before, read)
        : null,
    );
    if (target !== getRegister(registers, Reg.rip)) continue;
    setRegister(registers, Reg.rip, start);
    setRegister(registers, Reg.rsp, rsp + 8n);
    return true;
  }
  return false;
}

function targetOf(
  instruction: Iced.Instruction,
  registers: RegisterWords,
  read: MemoryReader,
): bigint | null {
  const { OpKind } = iced();
  if (instruction.op0Kind === OpKind.Register) return registerValue(instruction.op0Register, registers);
  return readWord(read, memoryAddress(instruction, registers));
}

const isIndirect = (instruction: Iced.Instruction): boolean =>
  instruction.isJmpNearIndirect ||
  instruction.isJmpFarIndirect ||
  instruction.isCallNearIndirect ||
  instruction.isCallFarIndirect;

function readWord(read: MemoryReader, at: bigint): bigint | null {
  const bytes = new Uint8Array(8);
  return read(at, bytes) === 8 ? new DataView(bytes.buffer).getBigUint64(0, true) : null;
}
