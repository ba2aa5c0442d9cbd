// What pages are made of: headings, cards, answers that did not come, commands to copy.

import { Button } from '@patternfly/react-core/dist/esm/components/Button';
import { EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter } from '@patternfly/react-core/dist/esm/components/EmptyState';
import { Skeleton } from '@patternfly/react-core/dist/esm/components/Skeleton';
import CheckIcon from '@patternfly/react-icons/dist/esm/icons/check-icon';
import CopyIcon from '@patternfly/react-icons/dist/esm/icons/copy-icon';
import DownloadIcon from '@patternfly/react-icons/dist/esm/icons/download-icon';
import ExclamationCircleIcon from '@patternfly/react-icons/dist/esm/icons/exclamation-circle-icon';
import { type ReactNode, useEffect, useState } from 'react';
import type { Refusal } from '../lib/api';
import { useIsLive } from '../lib/live';

export function Heading({ title, before, children, aside }: { title: ReactNode; before?: ReactNode; children?: ReactNode; aside?: ReactNode }) {
  return (
    <header className="m-heading">
      <div>
        {before}
        <h1 className="pf-v6-c-title pf-m-2xl">{title}</h1>
        {children && <div className="m-heading-sub">{children}</div>}
      </div>
      {aside && <div className="m-heading-aside">{aside}</div>}
    </header>
  );
}

/** The full result of a page's question, whatever part of it is shown. */
export function ExportCsv({ href, name }: { href: string; name: string }) {
  return (
    <Button component="a" href={href} download={`${name}.csv`} variant="secondary" icon={<DownloadIcon />} title="The full result, all pages, with this filter">
      Export CSV
    </Button>
  );
}

export function Live() {
  const isLive = useIsLive();
  const [word, title] =
    isLive === true
      ? ['Live', 'Changes are shown as they happen.']
      : isLive === false
        ? ['Reconnecting', 'The stream of changes is down; it is opened again by itself. What you see may be old.']
        : ['Connecting', 'The stream of changes is being opened.'];
  return (
    <span className={`m-live m-live-${word.toLowerCase()}`} title={title} role="status">
      {word}
    </span>
  );
}

export function Card({ title, aside, children, className = '', isFlush = false }: { title?: ReactNode; aside?: ReactNode; children: ReactNode; className?: string; isFlush?: boolean }) {
  return (
    <section className={`m-card ${className}`}>
      {title && (
        <div className="m-card-head">
          <h2 className="pf-v6-c-title pf-m-md">{title}</h2>
          {aside}
        </div>
      )}
      <div className={isFlush ? 'm-card-flush' : 'm-card-body'}>{children}</div>
    </section>
  );
}

export function Failure({ error, onRetry }: { error: Refusal; onRetry?: () => void }) {
  const isOut = error.status === 401;
  const title = isOut ? 'You are not signed in' : error.status === 404 ? 'Not found' : 'The hub did not answer this';
  return (
    <EmptyState titleText={title} headingLevel="h2" icon={ExclamationCircleIcon} status={error.status === 404 ? undefined : 'danger'}>
      <EmptyStateBody>
        <p>{error.message}</p>
        {isOut && <Command text="muster console" label="Sign in with a new link" />}
      </EmptyStateBody>
      {onRetry && !isOut && (
        <EmptyStateFooter>
          <EmptyStateActions>
            <Button variant="primary" onClick={onRetry}>
              Try again
            </Button>
          </EmptyStateActions>
        </EmptyStateFooter>
      )}
    </EmptyState>
  );
}

export function Nothing({ title, children, icon, isGood = false }: { title: string; children?: ReactNode; icon?: React.ComponentType; isGood?: boolean }) {
  return (
    <EmptyState titleText={title} headingLevel="h2" variant="sm" icon={icon} status={isGood ? 'success' : undefined}>
      {children && <EmptyStateBody>{children}</EmptyStateBody>}
    </EmptyState>
  );
}

export function Loading({ rows = 6 }: { rows?: number }) {
  return (
    <div className="m-loading" aria-busy="true" aria-label="Loading">
      {Array.from({ length: rows }, (_, index) => (
        <Skeleton key={index} width={`${95 - ((index * 17) % 40)}%`} screenreaderText={index === 0 ? 'Loading' : ''} />
      ))}
    </div>
  );
}

/** A command to type, with a button that copies it. */
export function Command({ text, label }: { text: string; label?: string }) {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [isCopied]);
  const copy = () => {
    void navigator.clipboard?.writeText(text).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  };
  return (
    <div className="m-command">
      {label && <span className="m-command-label">{label}</span>}
      <code>{text}</code>
      <Button variant="plain" size="sm" aria-label={isCopied ? 'Copied' : `Copy: ${text}`} title="Copy" onClick={copy} icon={isCopied ? <CheckIcon /> : <CopyIcon />} />
    </div>
  );
}

/** Names and values. */
export function Facts({ facts }: { facts: [string, ReactNode][] }) {
  return (
    <dl className="m-facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value === '' || value === undefined || value === null ? <span className="m-faint">–</span> : value}</dd>
        </div>
      ))}
    </dl>
  );
}
