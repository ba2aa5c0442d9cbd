// States, ages and names, each always shown the same way.

import { Label } from '@patternfly/react-core/dist/esm/components/Label';
import BanIcon from '@patternfly/react-icons/dist/esm/icons/ban-icon';
import CheckCircleIcon from '@patternfly/react-icons/dist/esm/icons/check-circle-icon';
import ExclamationCircleIcon from '@patternfly/react-icons/dist/esm/icons/exclamation-circle-icon';
import ExclamationTriangleIcon from '@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon';
import InProgressIcon from '@patternfly/react-icons/dist/esm/icons/in-progress-icon';
import DisconnectedIcon from '@patternfly/react-icons/dist/esm/icons/disconnected-icon';
import PendingIcon from '@patternfly/react-icons/dist/esm/icons/pending-icon';
import PlusCircleIcon from '@patternfly/react-icons/dist/esm/icons/plus-circle-icon';
import QuestionCircleIcon from '@patternfly/react-icons/dist/esm/icons/outlined-question-circle-icon';
import { createContext, type ReactNode, useContext } from 'react';
import { isOverdue, sentenceOfGap, titleOfGap } from '../lib/gap';
import { useNow } from '../lib/live';
import { isNamed } from '../lib/matrix';
import { follow } from '../lib/router';
import { STATES, stateOf, type Tone, toneOf } from '../lib/states';
import { ago, full, secondsSince } from '../lib/time';
import type { AppRow, State } from '../lib/types';

export const STATE_ICON: Record<State, ReactNode> = {
  Ready: <CheckCircleIcon />,
  Progressing: <InProgressIcon />,
  Joining: <PlusCircleIcon />,
  Pending: <PendingIcon />,
  Degraded: <ExclamationCircleIcon />,
  Offline: <DisconnectedIcon />,
  Unknown: <QuestionCircleIcon />,
};

const STATE_COLOR = { Ready: 'green', Progressing: 'blue', Joining: 'teal', Pending: 'yellow', Degraded: 'red', Offline: 'grey', Unknown: 'grey' } as const;

export function StateLabel({ state, isCompact = true }: { state: string; isCompact?: boolean }) {
  const known = stateOf(state);
  return (
    <Label color={STATE_COLOR[known]} icon={STATE_ICON[known]} isCompact={isCompact} title={`${STATES[known].meaning} ${STATES[known].next}`}>
      {state}
    </Label>
  );
}

const TONE_ICON: Record<Tone, ReactNode> = {
  good: <CheckCircleIcon />,
  moving: <InProgressIcon />,
  warn: <ExclamationTriangleIcon />,
  bad: <ExclamationCircleIcon />,
  unknown: <BanIcon />,
};

/** A word such as `Synced` or `Degraded`, with the sign that goes with it. */
export function Word({ word, title, isOld = false }: { word: string; title?: string; isOld?: boolean }) {
  if (!word) return <span className="m-faint">–</span>;
  const tone = toneOf(word);
  return (
    <span className={`m-word m-tone-${tone} ${isOld ? 'm-old' : ''}`} title={title ?? (isOld ? 'As last told: the cluster is not reached now' : undefined)}>
      {tone === 'unknown' ? <QuestionCircleIcon /> : TONE_ICON[tone]} {word}
    </span>
  );
}

/** How an Application is on a cluster. A pod that does not run is told before its rollout is given up. */
export function Health({ row }: { row: AppRow }) {
  const isOld = !row.isCurrent;
  return (
    <>
      <Word word={row.health} isOld={isOld} />
      {row.trouble && (
        <span className={`m-trouble m-word m-tone-bad ${isOld ? 'm-old' : ''}`}>
          {TONE_ICON.bad} {row.trouble}
        </span>
      )}
    </>
  );
}

/** How far behind its branch it is on a cluster, if somebody has to sync it there. */
export function Gap({ row }: { row: AppRow }) {
  const now = useClock();
  if (!row.behind) return <span className="m-faint">{row.isManual ? 'not behind' : '–'}</span>;
  const tone = isOverdue(row.behind, now) ? 'warn' : 'moving';
  return (
    <span className={`m-word m-tone-${tone} ${row.isCurrent ? '' : 'm-old'}`} title={titleOfGap(row.behind)}>
      {TONE_ICON[tone]} {sentenceOfGap(row.behind, now)}
    </span>
  );
}

const Now = createContext(0);

export function NowProvider({ children }: { children: ReactNode }) {
  return <Now.Provider value={useNow()}>{children}</Now.Provider>;
}

export function useClock(): number {
  return useContext(Now);
}

/** A sentence of the hub: it begins as one here, and what is to be typed is code. A name at its begin stays as it is. */
export function Sentence({ text }: { text: string }) {
  const begun = /^\p{L}+[ ,:]/u.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return begun.split('`').map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part));
}

/** How long ago something was; the full time is its title. */
export function Ago({ at, fallback = '–' }: { at?: string; fallback?: string }) {
  const now = useClock();
  if (!at) return <span className="m-faint">{fallback}</span>;
  return (
    <time dateTime={at} title={full(at)}>
      {ago(secondsSince(at, now))}
    </time>
  );
}

export function Go({ to, className, children, title }: { to: string; className?: string; children: ReactNode; title?: string }) {
  return (
    <a href={to} className={className} title={title} onClick={(event) => follow(event, to)}>
      {children}
    </a>
  );
}

export function ClusterLink({ name }: { name: string }) {
  return <Go to={`/clusters/${encodeURIComponent(name)}`}>{name}</Go>;
}

export function appPath(app: string): string {
  return `/apps/${app.split('/').map(encodeURIComponent).join('/')}`;
}

export function Commit({ revision }: { revision: string }) {
  if (!revision) return <span className="m-faint">–</span>;
  return (
    <code className="m-mono" title={revision}>
      {/^[0-9a-f]{40}$/.test(revision) ? revision.slice(0, 7) : revision}
    </code>
  );
}

/** What people call a version; nothing where that is its commit, which is beside it. */
export function Version({ version, revision }: { version: string; revision: string }) {
  return isNamed({ version, revision }) ? <>{version}</> : <span className="m-faint">{version ? '–' : 'unknown'}</span>;
}

/** How many of how many. */
export function Bar({ ready, desired, isBad = false }: { ready: number; desired: number; isBad?: boolean }) {
  return (
    <span className="m-bar">
      <progress max={Math.max(desired, 1)} value={desired === 0 ? 1 : ready} className={isBad ? 'm-bad' : ready < desired ? 'm-short' : ''} aria-hidden="true" /> {ready}/{desired}
    </span>
  );
}
