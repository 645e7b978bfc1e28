/** What operands of an instruction refer to, by iced. Not for hot paths. */
import type * as Iced from 'iced-x86';
import { Reg, getRegister, type RegisterName, type RegisterWords } from '../base/registers.js';
import { iced } from './iced.js';

/** Decodes the instruction at the start of `code`, at address `rip`, for as long as `use` runs. */
export function withInstruction<T>(
  code: Uint8Array,
  rip: bigint,
  look: (instruction: Iced.Instruction) => T,
): T {
  const { Decoder, DecoderOptions } = iced();
  const decoder = new Decoder(64, code, DecoderOptions.None);
  decoder.ip = rip;
  const instruction = decoder.decode();
  try {
    return look(instruction);
  } finally {
    instruction.free();
    decoder.free();
  }
}

/** A general register of 64 bits; 0 for none. Of a 32-bit name, which address size 32 gives, the low half. */
export function registerValue(register: Iced.Register, registers: RegisterWords): bigint {
  const { Register } = iced();
  const name = Register[register].toLowerCase();
  const wide = /^r\d+d$/.test(name) ? name.slice(0, -1) : name.replace(/^e(?!s$)/, 'r');
  if (!(wide in Reg) || register === Register.RIP || register === Register.EIP) return 0n;
  const value = getRegister(registers, Reg[wide as RegisterName]);
  return wide === name ? value : BigInt.asUintN(32, value);
}

/** The linear address of the memory operand. Precondition: decoded at its rip, and there is one. */
export function memoryAddress(instruction: Iced.Instruction, registers: RegisterWords): bigint {
  const { Register } = iced();
  const { memoryBase, memoryIndex, memorySegment } = instruction;
  let address = registerValue(memoryIndex, registers) * BigInt(instruction.memoryIndexScale);
  address += registerValue(memoryBase, registers) + instruction.memoryDisplacement;
  const isShort = [memoryBase, memoryIndex].some((register) => /^(E|R\d+D)/.test(Register[register]));
  if (isShort) address = BigInt.asUintN(32, address);
  if (memorySegment === Register.FS) address += getRegister(registers, Reg.fs_base);
  if (memorySegment === Register.GS) address += getRegister(registers, Reg.gs_base);
  return BigInt.asUintN(64, address);
}

/** A place in memory that an instruction stores to. */
export interface Store {
  readonly address: bigint;
  readonly size: number;
}

/**
 * Where the instruction at the start of `code` stores, including stack accesses; null if registers
 * are not sufficient to know (repeated strings, saved states).
 */
export function storesOf(code: Uint8Array, registers: RegisterWords): Store[] | null {
  const { Code, InstructionInfoFactory, MemorySizeExt, OpAccess } = iced();
  return withInstruction(code, getRegister(registers, Reg.rip), (instruction) => {
    if (instruction.code === Code.INVALID || instruction.hasRepPrefix || instruction.hasRepnePrefix)
      return null;
    const factory = new InstructionInfoFactory();
    const info = factory.info(instruction);
    const stores: Store[] = [];
    try {
      for (const used of info.usedMemory()) {
        const { access, memorySize, base, index, scale, displacement } = used;
        const stored =
          access !== OpAccess.Read && access !== OpAccess.CondRead && access !== OpAccess.NoMemAccess;
        const size = MemorySizeExt.size(memorySize);
        let address =
          registerValue(base, registers) + registerValue(index, registers) * BigInt(scale) + displacement;
        const segment = used.segment;
        used.free();
        if (!stored) continue;
        if (size === 0) return null;
        const { Register } = iced();
        if (segment === Register.FS) address += getRegister(registers, Reg.fs_base);
        if (segment === Register.GS) address += getRegister(registers, Reg.gs_base);
        stores.push({ address: BigInt.asUintN(64, address), size });
      }
      return stores;
    } finally {
      info.free();
      factory.free();
    }
  });
}
