import { expect, it } from 'vitest';
import { shortProcessorName } from './processor.js';

it.each([
  ['Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz', 'i7-8650U'],
  ['Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz', 'Gold 6248'],
  ['11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz', '11th Gen i7-1165G7'],
  ['Intel Core Processor (Haswell)', 'Haswell'],
  ['Intel Core Processor (Skylake, IBRS)', 'Skylake'],
  ['AMD EPYC-Rome Processor', 'EPYC-Rome'],
  ['AMD EPYC 7763 64-Core Processor', 'EPYC 7763'],
  ['AMD Ryzen 9 7950X 16-Core Processor', 'Ryzen 9 7950X'],
  ['AMD Ryzen 7 5700G with Radeon Graphics', 'Ryzen 7 5700G'],
  ['GenuineIntel', 'GenuineIntel'],
  ['Intel', 'Intel'],
])('%s is %s', (name, short) => expect(shortProcessorName(name)).toBe(short));
