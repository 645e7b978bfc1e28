/** Instructions of AMX, in software or, in a process whose processor and kernel have tiles, by the processor. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Exit } from '../../src/engine/kvm/exit.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import { CODE, DATA, type ProbeGuest } from '../../src/engine/kvm/probe-guest.js';
import { AMX_STATE } from '../../src/engine/x86/completion.js';
import { Exception } from '../../src/engine/x86/constants.js';
import { sample } from '../collections.js';
import { openWithAmx } from '../replay/made-up-layout.js';
import { describeMachines, guestOf } from './guest.js';

const LDTILECFG_RDI = 'c4e27849 07';
const TILELOADD_1_RSI_RDX = 'c4e27b4b 0c16';
const TILELOADD_2_R8_RDX = 'c4c27b4b 1410';
const TILEZERO_0 = 'c4e27b49 c0';
const TDPBSSD_0_1_2 = 'c4e26b5e c1';
const TILESTORED_0_R9_RDX = 'c4c27a4b 0411';
const STTILECFG_R10 = 'c4c27949 02';
const TILERELEASE = 'c4e27849 c0';
const INT3 = 'cc';

const ROWS = 16;
const ROW_BYTES = 64;
const CONFIG = 0x000;
const A = 0x400;
const B = 0x800;
const TO = 0xc00;
const CONFIG_OUT = 0x40;
/** The last row of a tile that begins here lies on a page that is not there. */
const ABSENT = 0x7fff_0000_0000n;

describeMachines(specsOf);

function specsOf(kind: 'emulated' | 'process'): void {
  let machine: Machine;
  let guest: ProbeGuest;
  let hasTiles: boolean;
  let close: (() => void) | undefined;
  beforeAll(async () => {
    const trace = openWithAmx(sample('skylake-pku/tree'));
    trace.close();
    ({ machine, guest, close } = await guestOf(trace.header, kind));
    hasTiles = (machine.xcr0 & AMX_STATE) !== 0n;
  });
  afterAll(() => close?.());

  /** Eight tiles of `rows` rows. */
  function configuration(rows: number): void {
    guest.data.fill(0, CONFIG, CONFIG + 64);
    guest.data[CONFIG] = 1;
    for (let tile = 0; tile < 8; tile++) {
      guest.data[CONFIG + 16 + 2 * tile] = ROW_BYTES;
      guest.data[CONFIG + 48 + tile] = rows;
    }
  }

  const run = (
    code: readonly string[],
    registers: Record<string, bigint> = {},
  ): ReturnType<ProbeGuest['run']> => {
    const text = `${code.join('')}${INT3}`.replaceAll(' ', '');
    return guest.run(Uint8Array.from(Buffer.from(text, 'hex')), {
      rdi: BigInt(DATA + CONFIG),
      rsi: BigInt(DATA + A),
      r8: BigInt(DATA + B),
      r9: BigInt(DATA + TO),
      r10: BigInt(DATA + CONFIG_OUT),
      rdx: BigInt(ROW_BYTES),
      ...registers,
    });
  };

  it('raises #NM at the first tile of each program until it may have them', ({ skip }) => {
    if (!hasTiles) skip('no tiles of the processor here');
    for (let program = 0; program < 2; program++) {
      machine.restart();
      configuration(ROWS);
      const refused = { vector: Exception.NM, rip: BigInt(CODE + 5) };
      expect(run([LDTILECFG_RDI, TILEZERO_0])).toMatchObject(refused);
      expect(run([LDTILECFG_RDI, TILEZERO_0])).toMatchObject(refused);
      expect(machine.allowTiles()).toBe(true);
      expect(run([LDTILECFG_RDI, TILEZERO_0]).vector).toBe(Exception.BP);
      expect(machine.allowTiles()).toBe(false);
    }
  });

  it('multiplies tiles', () => {
    configuration(ROWS);
    const signed = new Int8Array(guest.data.buffer, guest.data.byteOffset);
    for (let i = 0; i < ROWS * ROW_BYTES; i++) {
      signed[A + i] = (i * 7) % 251;
      signed[B + i] = (i * 13) % 241;
    }
    const code = [LDTILECFG_RDI, TILELOADD_1_RSI_RDX, TILELOADD_2_R8_RDX, TILEZERO_0, TDPBSSD_0_1_2];
    const outcome = run([...code, TILESTORED_0_R9_RDX, STTILECFG_R10, TILERELEASE]);
    expect(outcome).toMatchObject({ exit: Exit.Exception, vector: Exception.BP });
    const product = (row: number, column: number): number => {
      let sum = 0;
      for (let k = 0; k < ROW_BYTES; k++)
        sum += signed[A + ROW_BYTES * row + k] * signed[B + ROW_BYTES * (k >> 2) + 4 * column + (k & 3)];
      return sum;
    };
    const results = new DataView(guest.data.buffer, guest.data.byteOffset + TO, ROWS * ROW_BYTES);
    for (let row = 0; row < ROWS; row++)
      for (let column = 0; column < ROW_BYTES / 4; column++)
        expect(results.getInt32(ROW_BYTES * row + 4 * column, true)).toBe(product(row, column));
    expect(guest.data.slice(CONFIG_OUT, CONFIG_OUT + 64)).toEqual(guest.data.slice(CONFIG, CONFIG + 64));
  });

  it('refuses a configuration that is none, and tiles where there is none', () => {
    configuration(ROWS + 1);
    expect(run([LDTILECFG_RDI])).toMatchObject({ vector: Exception.GP, rip: BigInt(CODE) });
    expect(run([TILERELEASE, TILEZERO_0])).toMatchObject({ vector: Exception.UD, rip: BigInt(CODE + 5) });
  });

  it('notes the row that faulted, to go on there', () => {
    configuration(ROWS);
    const stride = ABSENT - BigInt(DATA + A);
    const outcome = run([LDTILECFG_RDI, TILELOADD_1_RSI_RDX], { rdx: stride });
    expect(outcome).toMatchObject({ vector: Exception.PF, cr2: ABSENT, rip: BigInt(CODE + 5) });
    expect(run([STTILECFG_R10, TILELOADD_1_RSI_RDX, STTILECFG_R10]).vector).toBe(Exception.BP);
    expect(guest.data[CONFIG_OUT + 1]).toBe(0);
    run([LDTILECFG_RDI, TILELOADD_1_RSI_RDX], { rdx: stride });
    run([STTILECFG_R10]);
    expect(guest.data[CONFIG_OUT + 1]).toBe(1);
  });
}
