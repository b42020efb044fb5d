import './styles/base.css';
import './styles/parts.css';
import './styles/pages.css';
import { render } from 'preact';
import { App } from './app.js';
import { keep } from './live/link.js';
import { start } from './live/store.js';

start();
void keep();
const root = document.getElementById('app');
if (root) render(<App />, root);
