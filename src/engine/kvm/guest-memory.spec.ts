import { describe, expect, it } from 'vitest';
import { PAGE_SIZE, gpa, type Gpa } from '../base/address.js';
import { GuestMemory } from './guest-memory.js';

const FIRST = gpa(0x40000);

/** A session's memory over a pool, and the pages that were reported to its machine. */
function sessionOver(pool: ArrayBuffer): { memory: GuestMemory; told: Gpa[] } {
  const told: Gpa[] = [];
  return { memory: new GuestMemory(pool, FIRST, 2 ** 20, (page) => told.push(page)), told };
}

const fresh = (): ReturnType<typeof sessionOver> => sessionOver(new ArrayBuffer(2 ** 21));
const page = (memory: GuestMemory, at: Gpa): Uint8Array => memory.bytes.subarray(at, at + PAGE_SIZE);

describe('code that is changed from outside', () => {
  it('is reported if it may have been executed', () => {
    const { memory, told } = fresh();
    const at = memory.allocate();
    memory.willChange(at);
    expect(told).toEqual([]);
    memory.markCode(at);
    expect(told).toEqual([]);
    memory.willChange(at);
    expect(told).toEqual([at]);
  });

  it('is not reported in a page that became data', () => {
    const { memory, told } = fresh();
    const code = memory.allocate();
    memory.markCode(code);
    memory.release(code);
    const data = memory.allocate();
    expect(data).toBe(code);
    memory.willChange(data);
    memory.release(data);
    memory.allocateUninitialised();
    expect(told).toEqual([]);
  });

  it('is reported once in a page that becomes code again', () => {
    const { memory, told } = fresh();
    const code = memory.allocate();
    memory.markCode(code);
    memory.release(code);
    const again = memory.allocate();
    memory.markCode(again);
    memory.markCode(again);
    expect(told).toEqual([code]);
  });
});

describe('a session after another one', () => {
  it('costs nothing at the end of the first, and reports pages when they are executed again', () => {
    const pool = new ArrayBuffer(2 ** 21);
    const first = sessionOver(pool);
    const [a, b] = [first.memory.allocate(), first.memory.allocate()];
    first.memory.markCode(a);
    first.memory.markCode(b);
    first.memory.close();
    expect(first.told).toEqual([]);

    const second = sessionOver(pool);
    const pages = [second.memory.allocate(), second.memory.allocate(), second.memory.allocate()];
    for (const at of pages.slice(1)) second.memory.markCode(at);
    expect(pages.slice(0, 2)).toEqual([a, b]);
    expect(second.told).toEqual([b]);
  });

  it('finds zeros', () => {
    const pool = new ArrayBuffer(2 ** 21);
    const first = sessionOver(pool).memory;
    page(first, first.allocateUninitialised()).fill(7);
    first.close();
    const second = sessionOver(pool).memory;
    for (let i = 0; i < 2; i++)
      expect(page(second, second.allocate()).every((byte) => byte === 0)).toBe(true);
  });
});

it('zeroes pages that were used before', () => {
  const { memory } = fresh();
  const at = memory.allocate();
  page(memory, at).fill(7);
  memory.release(at);
  expect(page(memory, memory.allocate()).every((byte) => byte === 0)).toBe(true);
});

describe('pages that were released', () => {
  it('are handed out again side by side, however many', () => {
    const memory = new GuestMemory(new ArrayBuffer(2 ** 26), FIRST, 2 ** 25);
    const pages = Array.from({ length: 6000 }, () => memory.allocate());
    for (let round = 0; round < 5; round++) {
      for (const each of pages) memory.release(each);
      expect(pages.map(() => memory.allocate())).toEqual(pages);
    }
    expect(memory.peakPages).toBe(6000);
  });

  it('are reused before others', () => {
    const { memory } = fresh();
    const [first, second] = [memory.allocate(), memory.allocate()];
    memory.release(second);
    memory.release(first);
    expect([memory.allocate(), memory.allocate()]).toEqual([second, first]);
  });
});

describe('pages that somebody holds', () => {
  it('are counted where nobody else has them', () => {
    const { memory } = fresh();
    const [own, others, twice] = [memory.allocate(), memory.allocate(), memory.allocate()];
    memory.retain(others);
    memory.retain(twice);
    expect(memory.countHeld((visit) => [own, others, twice, twice].forEach(visit))).toBe(2);
  });

  it('may be given back at a mark', () => {
    const { memory } = fresh();
    const kept = [memory.allocate(), memory.allocate()];
    memory.mark = 2;
    memory.onMark = () => {
      memory.mark = Infinity;
      kept.forEach((each) => memory.release(each));
    };
    memory.allocate();
    expect(memory.pagesInUse).toBe(1);
  });
});
