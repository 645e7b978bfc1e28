import { expect, it } from 'vitest';
import { Interrupt } from './interrupt.js';

it('Ctrl-C ends all pending waits, not only the last one', async () => {
  const interrupt = new Interrupt();
  try {
    const never = new Promise<void>(() => {});
    const first = interrupt.guard(never);
    await interrupt.guard(Promise.resolve());
    const last = interrupt.guard(never);
    process.emit('SIGINT');
    await expect(first).rejects.toMatchObject({ code: 'E_INTERRUPTED' });
    await expect(last).rejects.toMatchObject({ code: 'E_INTERRUPTED' });
  } finally {
    interrupt.dispose();
  }
});
