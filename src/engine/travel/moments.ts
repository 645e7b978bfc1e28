import type { Gva } from '../base/address.js';
import { RevenantError } from '../base/errors.js';
import type { DebugStop, Moment } from '../target.js';
import { ripOf } from '../base/registers.js';
import { RUN } from './listener.js';
import { Interrupted, type Slices } from './navigator.js';
import type { Reverse } from './reverse.js';
import type { StopEvent } from './event.js';
import type { Searcher } from './search.js';
import { startBehind } from './ticks.js';

/**
 * Moments finer than frames, in a form that is valid for every replay of the recording, on any
 * processor and with any strategy: the number of arrivals at an address after a frame. Execution is
 * deterministic, so that is one instruction of one task.
 */
export class Moments {
  constructor(
    private readonly search: Searcher,
    private readonly reverse: Reverse,
  ) {}

  private get mover(): Searcher['mover'] {
    return this.search.mover;
  }

  /** Names the session's position; the session does not move. */
  *describe(): Slices<Moment> {
    const { mover, search } = this;
    const { frameTime } = mover.session;
    if (!mover.running) return { frameTime, address: null, hit: 1 };
    const present = mover.keepHere();
    const address = ripOf(mover.registers());
    const { firm } = startBehind(search.core, frameTime);
    const start = yield* this.reverse.toFrame(firm);
    const hit = yield* search.withBreakpoints([address], function* () {
      mover.goTo(start, present);
      for (let [arrivals, skipTid] = [1, -1]; ;) {
        const event = yield* search.towards({ at: present }, { skipTid });
        if (!event) return arrivals;
        skipTid = event.stop.tid;
        if (isBreakpoint(event)) arrivals++;
        yield null;
        mover.checkInterrupt();
      }
    });
    mover.goTo(present);
    return { frameTime: firm, address, hit };
  }

  /**
   * Goes to the `hit`th arrival of any task at one of these addresses after a frame. @throws RevenantError E_USAGE if
   * there are fewer
   */
  *arrive(frameTime: number, addresses: readonly Gva[], hit: number): Slices<DebugStop> {
    const { mover, search } = this;
    const { firm } = startBehind(search.core, frameTime);
    yield* this.reverse.toFrame(firm);
    return yield* search.withBreakpoints(addresses, function* () {
      let skipTid = -1;
      for (let arrivals = 0; ;) {
        const event = yield* mover.forward({ ...RUN, skipTid });
        if (event.kind === 'interrupted') throw new Interrupted();
        if (event.kind !== 'stop') throw tooFew(frameTime, arrivals, hit);
        skipTid = event.stop.tid;
        if (isBreakpoint(event) && ++arrivals === hit) return event.stop;
        yield null;
        mover.checkInterrupt();
      }
    });
  }
}

const isBreakpoint = ({ stop }: StopEvent): boolean => stop.kind === 'breakpoint';

const tooFew = (frame: number, found: number, hit: number): RevenantError =>
  new RevenantError(
    'E_USAGE',
    `After frame ${frame} the place is reached ${found === 1 ? 'once' : `${found} times`} in this recording, not ${hit}.`,
  );
