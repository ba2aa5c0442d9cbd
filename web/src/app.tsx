// The frame of all pages: masthead, navigation, keys; and which page a path is.

import { Button } from '@patternfly/react-core/dist/esm/components/Button';
import { Masthead, MastheadBrand, MastheadContent, MastheadLogo, MastheadMain, MastheadToggle } from '@patternfly/react-core/dist/esm/components/Masthead';
import { Modal, ModalBody, ModalHeader } from '@patternfly/react-core/dist/esm/components/Modal';
import { Nav, NavItem, NavList } from '@patternfly/react-core/dist/esm/components/Nav';
import { Page, PageSidebar, PageSidebarBody, PageToggleButton } from '@patternfly/react-core/dist/esm/components/Page';
import { SearchInput } from '@patternfly/react-core/dist/esm/components/SearchInput';
import { SkipToContent } from '@patternfly/react-core/dist/esm/components/SkipToContent';
import CubesIcon from '@patternfly/react-icons/dist/esm/icons/cubes-icon';
import HistoryIcon from '@patternfly/react-icons/dist/esm/icons/history-icon';
import KeyboardIcon from '@patternfly/react-icons/dist/esm/icons/keyboard-icon';
import MoonIcon from '@patternfly/react-icons/dist/esm/icons/moon-icon';
import ServerIcon from '@patternfly/react-icons/dist/esm/icons/server-icon';
import SignOutIcon from '@patternfly/react-icons/dist/esm/icons/sign-out-alt-icon';
import SunIcon from '@patternfly/react-icons/dist/esm/icons/sun-icon';
import ThLargeIcon from '@patternfly/react-icons/dist/esm/icons/th-large-icon';
import { Component, lazy, type ReactNode, Suspense, useCallback, useEffect, useRef, useState } from 'react';
import { Refusal, signOut } from './lib/api';
import { KEYS, useKeys } from './lib/keys';
import { decoded, follow, navigate, usePlace } from './lib/router';
import { FleetPage } from './pages/fleet';
import { Failure, Live, Loading, Nothing } from './parts/blocks';
import { Go, NowProvider } from './parts/words';

// The first page is there at once; the others come when they are gone to.
const ClustersPage = lazy(() => import('./pages/clusters').then((page) => ({ default: page.ClustersPage })));
const ClusterPage = lazy(() => import('./pages/cluster').then((page) => ({ default: page.ClusterPage })));
const AppsPage = lazy(() => import('./pages/apps').then((page) => ({ default: page.AppsPage })));
const AppPage = lazy(() => import('./pages/app').then((page) => ({ default: page.AppPage })));
const ActivityPage = lazy(() => import('./pages/activity').then((page) => ({ default: page.ActivityPage })));

const NAV: [string, string, ReactNode][] = [
  ['/', 'Fleet', <ThLargeIcon key="i" />],
  ['/clusters', 'Clusters', <ServerIcon key="i" />],
  ['/apps', 'Applications', <CubesIcon key="i" />],
  ['/activity', 'Activity', <HistoryIcon key="i" />],
];

export function App() {
  const { path } = usePlace();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const [isDark, setDark] = useState(() => document.documentElement.classList.contains('pf-v6-theme-dark'));
  const search = useRef<HTMLInputElement>(null);
  const toggleTheme = useCallback(() => {
    const dark = document.documentElement.classList.toggle('pf-v6-theme-dark');
    try {
      localStorage.setItem('muster.theme', dark ? 'dark' : 'light');
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    setDark(dark);
  }, []);
  useKeys({ search: () => search.current?.focus(), help: () => setHelpOpen(true), theme: toggleTheme });
  const isAt = (to: string) => (to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`));
  const section = NAV.find(([to]) => isAt(to))?.[1];
  useEffect(() => {
    const words = decoded(path).slice(1).join(' / ');
    document.title = [words, section, 'muster'].filter(Boolean).join(' · ');
  }, [path, section]);
  return (
    <NowProvider>
      <Page
        isManagedSidebar
        mainContainerId="main"
        skipToContent={<SkipToContent href="#main">Skip to content</SkipToContent>}
        masthead={
          <Masthead>
            <MastheadMain>
              <MastheadToggle>
                <PageToggleButton variant="plain" aria-label="Navigation" isHamburgerButton />
              </MastheadToggle>
              <MastheadBrand>
                <MastheadLogo component={(props: React.ComponentProps<'a'>) => <a {...props} href="/" onClick={(event) => follow(event, '/')} />} className="m-brand">
                  <img src="/icon.svg" alt="" width="30" height="30" />
                  <span>muster</span>
                </MastheadLogo>
              </MastheadBrand>
            </MastheadMain>
            <MastheadContent>
              <div className="m-top">
                <GlobalSearch input={search} />
                <Live />
                <Button variant="plain" aria-label={isDark ? 'Light mode' : 'Dark mode'} title={`${isDark ? 'Light' : 'Dark'} (d)`} onClick={toggleTheme} icon={isDark ? <SunIcon /> : <MoonIcon />} />
                <Button variant="plain" aria-label="Keyboard help" title="Keys (?)" onClick={() => setHelpOpen(true)} icon={<KeyboardIcon />} />
                <SignOut />
              </div>
            </MastheadContent>
          </Masthead>
        }
        sidebar={
          <PageSidebar>
            <PageSidebarBody>
              <Nav aria-label="Pages">
                <NavList>
                  {NAV.map(([to, title, icon]) => (
                    <NavItem key={to} to={to} isActive={isAt(to)} icon={icon} onClick={(event) => follow(event as unknown as React.MouseEvent, to)}>
                      {title}
                    </NavItem>
                  ))}
                </NavList>
              </Nav>
            </PageSidebarBody>
          </PageSidebar>
        }
      >
        <div className="m-page">
          <Fence key={path}>
            <Suspense fallback={<Loading rows={10} />}>
              <Route path={path} />
            </Suspense>
          </Fence>
        </div>
      </Page>
      <Modal variant="small" isOpen={isHelpOpen} onClose={() => setHelpOpen(false)} aria-labelledby="keys">
        <ModalHeader title="Keys" labelId="keys" />
        <ModalBody>
          <dl className="m-keys">
            {KEYS.map(([key, what]) => (
              <div key={key}>
                <dt>
                  {key.split(' ').map((one) => (
                    <kbd key={one}>{one}</kbd>
                  ))}
                </dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
        </ModalBody>
      </Modal>
    </NowProvider>
  );
}

function Route({ path }: { path: string }) {
  const parts = decoded(path);
  const [page, first, second, third] = parts;
  if (!page) return <FleetPage />;
  if (page === 'clusters' && !first) return <ClustersPage />;
  if (page === 'clusters' && first && !third) return <ClusterPage name={first} tab={second ?? 'apps'} />;
  if (page === 'apps' && !first) return <AppsPage />;
  if (page === 'apps' && first && second) return <AppPage namespace={first} name={second} />;
  if (page === 'activity' && !first) return <ActivityPage />;
  return (
    <Nothing title="There is no such page">
      <p>
        Nothing is at <code>{path}</code>. <Go to="/">Go to the fleet</Go>
      </p>
    </Nothing>
  );
}

/** Ends the session. As long as the console has not confirmed that, the page stays and says so. */
function SignOut() {
  const [refused, setRefused] = useState<string>();
  const leave = async () => {
    setRefused(undefined);
    try {
      await signOut();
      window.location.assign('/');
    } catch (error) {
      setRefused(error instanceof Refusal ? error.message : String(error));
    }
  };
  return (
    <>
      <Button variant="plain" aria-label="Sign out" title="End this session" icon={<SignOutIcon />} onClick={() => void leave()} />
      {refused !== undefined && (
        <Modal variant="small" isOpen onClose={() => setRefused(undefined)} aria-labelledby="signout">
          <ModalHeader title="You are still signed in" labelId="signout" />
          <ModalBody>{refused}</ModalBody>
        </Modal>
      )}
    </>
  );
}

function GlobalSearch({ input }: { input: React.RefObject<HTMLInputElement | null> }) {
  const [text, setText] = useState('');
  return (
    <div
      role="search"
      className="m-global"
      onKeyDownCapture={(event) => {
        if (event.key !== 'Enter' || event.target !== input.current) return;
        event.preventDefault();
        navigate(`/clusters${text.trim() ? `?q=${encodeURIComponent(text.trim())}` : ''}`);
        setText('');
        input.current?.blur();
      }}
    >
      <SearchInput ref={input} className="m-global-search" aria-label="Search clusters by name" placeholder="Search clusters  ( / )" value={text} onChange={(_, value) => setText(value)} onClear={() => setText('')} />
    </div>
  );
}

/** A page that fails does not take the frame with it. */
class Fence extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {};
  static getDerivedStateFromError(error: Error) {
    return { error };
  }
  override render() {
    if (!this.state.error) return this.props.children;
    return <Failure error={new Refusal(0, `This page failed: ${this.state.error.message}. Reload it; if it fails again, please report it.`)} onRetry={() => window.location.reload()} />;
  }
}
