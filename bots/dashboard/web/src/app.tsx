// The frame around every page: name, ways, clock, and how the data comes.

import { useEffect } from 'preact/hooks';
import { ClockStrip } from './parts/clock.js';
import { LinkBadge } from './parts/link-badge.js';
import { Control } from './pages/control.js';
import { HomePage } from './pages/home.js';
import { Homes } from './pages/homes.js';
import { Mesh } from './pages/mesh.js';
import { Overview } from './pages/overview.js';
import { ProviderPage } from './pages/provider.js';
import { Providers } from './pages/providers.js';
import { follow, path } from './router.js';
import { theme, toggle } from './theme.js';

const WAYS = [
  ['/', 'Overview'],
  ['/homes', 'Homes'],
  ['/providers', 'Providers'],
  ['/mesh', 'Mesh'],
  ['/control', 'Control'],
] as const;

export function App() {
  const [, place = '', id] = path.value.split('/');
  const title = `${WAYS.find(([to]) => to === `/${place}`)?.[1] ?? 'Not here'}${id ? ` ${decodeURIComponent(id)}` : ''}`;
  useEffect(() => {
    document.title = `${title} · CortexIQ`;
  }, [title]);
  return (
    <div class="app" onClick={follow}>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <header class="top">
        <a class="brand" href="/" aria-label="CortexIQ, overview">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="8" />
            <path d="M18.5 4 8 18h6.5L13 28l11-15h-7z" />
          </svg>
          <span>CortexIQ</span>
        </a>
        <nav aria-label="Pages">
          {WAYS.map(([to, name]) => (
            <a key={to} href={to} aria-current={to === `/${place}` ? 'page' : undefined}>
              {name}
            </a>
          ))}
        </nav>
        <div class="status">
          <ClockStrip />
          <LinkBadge />
          <button
            class="icon"
            type="button"
            onClick={toggle}
            aria-label={`Switch to ${theme.value === 'dark' ? 'light' : 'dark'} theme`}
          >
            {theme.value === 'dark' ? <Sun /> : <Moon />}
          </button>
        </div>
      </header>
      <main id="main" tabIndex={-1} key={`${place}/${id ?? ''}`}>
        <Page place={place} id={id ? decodeURIComponent(id) : undefined} />
      </main>
      <footer>
        <p>
          A simulation: homes, providers and prices are made up. Money is the energy part of a bill, without VAT, grid
          fees and levies. Map: Statbel, CC BY 4.0.
        </p>
      </footer>
    </div>
  );
}

function Page({ place, id }: { place: string; id: string | undefined }) {
  switch (place) {
    case '':
      return <Overview />;
    case 'homes':
      return id ? <HomePage id={id} /> : <Homes />;
    case 'providers':
      return id ? <ProviderPage id={id} /> : <Providers />;
    case 'mesh':
      return <Mesh />;
    case 'control':
      return <Control />;
    default:
      return (
        <section class="lost">
          <h1>There is no such page</h1>
          <p>
            The address may be mistyped. <a href="/">The overview</a> leads to everything that there is.
          </p>
        </section>
      );
  }
}

const Sun = () => (
  <svg viewBox="0 0 24 24" aria-hidden="true">
    <circle cx="12" cy="12" r="4.5" />
    <path d="M12 2v3M12 19v3M2 12h3M19 12h3M4.9 4.9 7 7M17 17l2.1 2.1M4.9 19.1 7 17M17 7l2.1-2.1" />
  </svg>
);
const Moon = () => (
  <svg viewBox="0 0 24 24" aria-hidden="true">
    <path d="M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z" />
  </svg>
);
