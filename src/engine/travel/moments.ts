import type { Gva } from '../base/address.js';
import { RevenantError } from '../base/errors.js';
import type { DebugStop, Moment } from '../target.js';
import { ripOf } from '../base/registers.js';
import { Finder } from './finder.js';
import { RUN } from './listener.js';
import { Interrupted, type Slices } from './navigator.js';
import type { StopEvent } from './event.js';
import { startAfter } from './ticks.js';

/**
 * Moments finer than frames, in a form that is valid for every replay of the recording, on any
 * processor and with any strategy: the number of arrivals at an address after a frame. Execution is
 * deterministic, so that is one instruction of one task.
 */
export class Moments extends Finder {
  /** Names the session's position; the session does not move. */
  *describe(): Slices<Moment> {
    const { navigator, search } = this;
    const { frameTime } = navigator.session;
    if (!navigator.running) return { frameTime, address: null, hit: 1 };
    const present = navigator.keepHere();
    const address = ripOf(navigator.registers());
    const { firm } = startAfter(search.core, frameTime);
    const start = yield* this.reverse.toFrame(firm);
    const hit = yield* search.withBreakpoints([address], function* () {
      navigator.goTo(start, present);
      for (let [arrivals, skipTid] = [1, -1]; ;) {
        const event = yield* search.towards({ at: present }, { skipTid });
        if (!event) return arrivals;
        skipTid = event.stop.tid;
        if (isBreakpoint(event)) arrivals++;
        yield null;
        navigator.checkInterrupt();
      }
    });
    navigator.goTo(present);
    return { frameTime: firm, address, hit };
  }

  /**
   * Goes to the `hit`th arrival of any task at one of these addresses after a frame.
   * @throws RevenantError E_USAGE if there are fewer
   */
  *arrive(frameTime: number, addresses: readonly Gva[], hit: number): Slices<DebugStop> {
    const { navigator, search } = this;
    const { firm } = startAfter(search.core, frameTime);
    yield* this.reverse.toFrame(firm);
    return yield* search.withBreakpoints(addresses, function* () {
      let skipTid = -1;
      for (let arrivals = 0; ;) {
        const event = yield* navigator.forward({ ...RUN, skipTid });
        if (event.kind === 'interrupted') throw new Interrupted();
        if (event.kind !== 'stop') throw tooFew(frameTime, arrivals, hit);
        skipTid = event.stop.tid;
        if (isBreakpoint(event) && ++arrivals === hit) return event.stop;
        yield null;
        navigator.checkInterrupt();
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
