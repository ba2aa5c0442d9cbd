// How a cluster was, as a band of time.

import { span, stretches } from '../lib/ribbon';
import { age, clock } from '../lib/time';
import type { StateAt } from '../lib/types';
import { useClock } from './words';

export function Ribbon({ history }: { history: StateAt[] }) {
  const now = useClock();
  if (history.length === 0) return null;
  const from = now - span(history, now);
  const bands = stretches(history, from, now);
  const words = bands.map((band) => `${band.state === 'Unknown' ? 'not known' : band.state} for ${age((band.to - band.from) / 1000)}`).join(', then ');
  return (
    <figure className="m-ribbon">
      <figcaption className="pf-v6-screen-reader">Since {clock(new Date(from).toISOString())}: {words}</figcaption>
      <div aria-hidden="true">
        {bands.map((band) => (
          <span
            key={band.from}
            className={`m-tile m-state-${band.state}`}
            style={{ flexGrow: Math.max(1, (100 * (band.to - band.from)) / (now - from)) }}
            title={`${band.state === 'Unknown' ? 'Nothing known' : band.state}, ${clock(new Date(band.from).toISOString())} to ${clock(new Date(band.to).toISOString())} (${age((band.to - band.from) / 1000)})${band.reason ? `: ${band.reason}` : ''}`}
          />
        ))}
      </div>
      <p aria-hidden="true">
        <span>{clock(new Date(from).toISOString())}</span>
        <span>{bands.at(-1)?.state} for {age((now - (bands.at(-1)?.from ?? now)) / 1000)}, until now</span>
      </p>
    </figure>
  );
}
