import { RevenantError } from '../base/errors.js';

/** No machine replays 32-bit code. */
export const code32Error = ({ frameTime, tid }: { frameTime: number; tid: number }): RevenantError =>
  new RevenantError(
    'E_UNSUPPORTED',
    `Frame ${frameTime}: task ${tid} runs 32-bit code.`,
    'Revenant replays 64-bit (x86-64) tasks only.',
  );
