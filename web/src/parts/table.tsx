// Tables, sorted by the server; facets and paging that live in the URL.

import { Button } from '@patternfly/react-core/dist/esm/components/Button';
import { SearchInput } from '@patternfly/react-core/dist/esm/components/SearchInput';
import '@patternfly/react-styles/css/components/Table/table.css';
import { type ReactNode, useEffect, useState, useSyncExternalStore } from 'react';
import { navigate, toggled, usePlace, withParams } from '../lib/router';
import { Go } from './words';

export interface Column<T> {
  title: string;
  /** What the server sorts by. */
  sort?: string;
  cell: (row: T) => ReactNode;
  className?: string;
  /** Whether a row has something to show in it; where none has, there is no such column. */
  has?: (row: T) => boolean;
}

export function Table<T>({ label, columns: all, rows, keyOf, isBusy }: { label: string; columns: Column<T>[]; rows: T[]; keyOf: (row: T) => string; isBusy?: boolean }) {
  const { path, params } = usePlace();
  const sorted = params.get('sort') ?? '';
  const columns = all.filter((column) => !column.has || rows.some(column.has));
  return (
    <div className="m-scroll">
      <table className="pf-v6-c-table pf-m-compact" aria-label={label} aria-busy={isBusy}>
        <thead className="pf-v6-c-table__thead">
          <tr className="pf-v6-c-table__tr">
            {columns.map((column) => {
              const by = column.sort;
              const direction = by && sorted === by ? 'ascending' : by && sorted === `-${by}` ? 'descending' : undefined;
              const next = direction === 'ascending' ? `-${by}` : direction === 'descending' ? undefined : by;
              return (
                <th key={column.title} className={`pf-v6-c-table__th ${column.className ?? ''}`} scope="col" aria-sort={by ? (direction ?? 'none') : undefined}>
                  {by ? (
                    <button type="button" className="m-sort" onClick={() => navigate(path + withParams(params, { sort: next, continue: undefined }))}>
                      {column.title}
                      <span aria-hidden="true" className={direction ? '' : 'm-sort-idle'}>
                        {direction === 'descending' ? '▼' : '▲'}
                      </span>
                    </button>
                  ) : (
                    column.title
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody className="pf-v6-c-table__tbody">
          {rows.map((row) => (
            <tr key={keyOf(row)} className="pf-v6-c-table__tr">
              {columns.map((column) => (
                <td key={column.title} className={`pf-v6-c-table__td ${column.className ?? ''}`} data-label={column.title}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A search that becomes part of the URL shortly after typing ends. */
export function Search({ name = 'q', label }: { name?: string; label: string }) {
  const { path, params } = usePlace();
  const inUrl = params.get(name) ?? '';
  const [text, setText] = useState(inUrl);
  useEffect(() => setText(inUrl), [inUrl]);
  useEffect(() => {
    if (text === inUrl) return;
    const timer = setTimeout(() => navigate(path + withParams(new URLSearchParams(window.location.search), { [name]: text.trim(), continue: undefined }), 'replace'), 250);
    return () => clearTimeout(timer);
  }, [text, inUrl, path, name]);
  return <SearchInput className="m-search" aria-label={label} placeholder={label} value={text} onChange={(_, value) => setText(value)} onClear={() => setText('')} />;
}

/** Filters beside a list; above it where there is no room, and folded. */
export function Filters({ children }: { children: ReactNode }) {
  const isNarrow = useSyncExternalStore(
    (listener) => {
      NARROW.addEventListener('change', listener);
      return () => NARROW.removeEventListener('change', listener);
    },
    () => NARROW.matches,
  );
  return (
    <aside aria-label="Filters">
      {isNarrow ? (
        <details className="m-filters">
          <summary>Search and filter</summary>
          {children}
        </details>
      ) : (
        children
      )}
    </aside>
  );
}

/** As styles.css has it. */
const NARROW = window.matchMedia('(max-width: 1100px)');

const FACET_VALUES_MAX = 8;

/** Values of the whole result with their counts; a click filters by one. */
export function Facets({ facets, shown }: { facets?: Record<string, Record<string, number>>; shown: [string, string][] }) {
  const { path, params } = usePlace();
  const [open, setOpen] = useState<string[]>([]);
  return (
    <div className="m-facets">
      {shown.map(([facet, title]) => {
        const chosen = (params.get(facet) ?? '').split(',').filter(Boolean);
        const values = Object.entries(facets?.[facet] ?? {}).filter(([value]) => value !== '');
        for (const word of chosen) if (!values.some(([value]) => value === word)) values.push([word, 0]);
        if (values.length === 0) return null;
        values.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
        const isOpen = open.includes(facet) || values.length <= FACET_VALUES_MAX + 1;
        const inSight = isOpen ? values : values.slice(0, FACET_VALUES_MAX);
        return (
          <fieldset key={facet}>
            <legend>{title}</legend>
            {inSight.map(([value, count]) => (
              <Go key={value} to={path + withParams(params, { [facet]: toggled(params.get(facet), value), continue: undefined })} className={`m-facet ${chosen.includes(value) ? 'm-chosen' : ''}`}>
                <span className="m-check" aria-hidden="true">
                  {chosen.includes(value) ? '☑' : '☐'}
                </span>
                <span className="m-facet-name">{value}</span>
                {count > 0 && <span className="m-count">{count}</span>}
                {chosen.includes(value) && <span className="pf-v6-screen-reader">chosen</span>}
              </Go>
            ))}
            {!isOpen && (
              <Button variant="link" size="sm" isInline onClick={() => setOpen([...open, facet])}>
                {values.length - FACET_VALUES_MAX} more
              </Button>
            )}
          </fieldset>
        );
      })}
    </div>
  );
}

/** Filters of the URL that are on, each with a way to end it. */
export function Chips({ names }: { names: Record<string, string> }) {
  const { path, params } = usePlace();
  const on = Object.keys(names).flatMap((name) => {
    const value = params.get(name);
    if (!value) return [];
    // A selector has commas of its own.
    const words = name === 'labelSelector' || name === 'q' || name === 'problem' ? [value] : value.split(',').filter(Boolean);
    return words.map((word): [string, string, string | undefined] => [name, word, words.length > 1 ? toggled(value, word) : undefined]);
  });
  if (on.length === 0) return null;
  const none = Object.fromEntries([...Object.keys(names), 'continue'].map((name) => [name, undefined]));
  return (
    <div className="m-chips">
      {on.map(([name, word, rest]) => (
        <Go key={`${name}=${word}`} className="m-chip" to={path + withParams(params, { [name]: rest, continue: undefined })} title="Remove this filter">
          <span className="m-faint">{names[name]}:</span> {word} <span aria-hidden="true">×</span>
          <span className="pf-v6-screen-reader">remove this filter</span>
        </Go>
      ))}
      <Go to={path + withParams(params, none)}>Clear all</Go>
    </div>
  );
}

/** `total` is left out where the server does not count. */
export function Pager({ shown, total, next, noun }: { shown: number; total?: number; next?: string; noun: string }) {
  const { path, params } = usePlace();
  const isFirst = !params.get('continue');
  return (
    <nav className="m-pager" aria-label="Pages">
      <span>
        {total === undefined || shown === total ? `${shown}` : `${shown} of ${total}`} {noun}
      </span>
      {!isFirst && <Go to={path + withParams(params, { continue: undefined })}>First page</Go>}
      {!isFirst && (
        <Button variant="secondary" size="sm" onClick={() => window.history.back()}>
          Previous
        </Button>
      )}
      {next && (
        <Button variant="secondary" size="sm" onClick={() => navigate(path + withParams(params, { continue: next }))}>
          Next
        </Button>
      )}
    </nav>
  );
}
