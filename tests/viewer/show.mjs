// Opens a .ply or .spz of splats in a public viewer in headless Chromium (software WebGL) and saves what it shows.
// node show.mjs FOLDER VIEWER FILE OUT.png '{"eye":[..],"target":[..],"yfov_deg":40,"width":512,"height":512}'
// FOLDER: with node_modules (scripts/get_splat_viewer.sh); VIEWER: spark or gaussian-splats-3d.
import { createRequire } from 'node:module';
import { createReadStream, existsSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const [folder, viewer, file, out, view] = process.argv.slice(2);
const { chromium } = createRequire(path.join(folder, 'package.json'))('playwright-core');
const name = 'scene' + path.extname(file);

const importmap = {
  imports: {
    three: '/node_modules/three/build/three.module.js',
    'three/addons/': '/node_modules/three/examples/jsm/',
    '@sparkjsdev/spark': '/node_modules/@sparkjsdev/spark/dist/spark.module.js',
    '@mkkellogg/gaussian-splats-3d': '/node_modules/@mkkellogg/gaussian-splats-3d/build/gaussian-splats-3d.module.js',
  },
};

const setup = `
  const v = ${view};
  const renderer = new THREE.WebGLRenderer({ antialias: false, preserveDrawingBuffer: true });
  renderer.setSize(v.width, v.height);
  document.body.appendChild(renderer.domElement);
  const camera = new THREE.PerspectiveCamera(v.yfov_deg, v.width / v.height, 0.01, 1000);
  camera.position.set(...v.eye); camera.up.set(...(v.up || [0, 1, 0])); camera.lookAt(...v.target);
`;
const pages = {
  spark: `
  import * as THREE from 'three';
  import { SplatMesh, SparkRenderer } from '@sparkjsdev/spark';
  ${setup}
  const scene = new THREE.Scene();
  scene.background = new THREE.Color(1, 1, 1);
  scene.add(new SparkRenderer({ renderer }));
  const mesh = new SplatMesh({ url: '/${name}' });
  scene.add(mesh);
  await mesh.initialized;
  window.count = mesh.packedSplats ? mesh.packedSplats.numSplats : mesh.numSplats;
  let frames = 0;
  renderer.setAnimationLoop(() => { renderer.render(scene, camera); if (++frames === 12) window.ready = true; });
  `,
  'gaussian-splats-3d': `
  import * as THREE from 'three';
  import * as GS from '@mkkellogg/gaussian-splats-3d';
  ${setup}
  renderer.setClearColor(0xffffff, 1);
  const shown = new GS.Viewer({
    selfDrivenMode: false, renderer, camera, useBuiltInControls: false, rootElement: document.body,
    sharedMemoryForWorkers: false, gpuAcceleratedSort: false, sphericalHarmonicsDegree: 2,
    sceneRevealMode: GS.SceneRevealMode.Instant,
  });
  await shown.addSplatScene('/${name}', { splatAlphaRemovalThreshold: 1, showLoadingUI: false, progressiveLoad: false });
  window.count = shown.getSplatMesh().getSplatCount();
  let frames = 0;
  const draw = () => { shown.update(); shown.render(); if (++frames === 40) window.ready = true; requestAnimationFrame(draw); };
  draw();
  `,
};
const page = `<!doctype html><style>body{margin:0;background:#fff}</style>
<script type="importmap">${JSON.stringify(importmap)}</script>
<script type="module">${pages[viewer]}</script>`;

const types = { '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };
const server = http.createServer((request, response) => {
  const url = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
  if (url === '/') return response.writeHead(200, { 'Content-Type': 'text/html' }).end(page);
  if (url === '/favicon.ico') return response.writeHead(204).end();
  const at = url === '/' + name ? file : path.join(folder, path.normalize(url));
  if (!existsSync(at)) return response.writeHead(404).end();
  response.writeHead(200, { 'Content-Type': types[path.extname(at)] || 'application/octet-stream' });
  createReadStream(at).pipe(response);
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));

const flags = ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist'];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: [...flags, '--disable-background-networking'], timeout: 240000,
});
try {
  const { width, height } = JSON.parse(view);
  const tab = await browser.newPage({ viewport: { width, height } });
  const said = [];
  tab.on('pageerror', (error) => said.push(String(error)));
  tab.on('console', (line) => line.type() === 'error' && said.push(line.text()));
  await tab.goto(`http://127.0.0.1:${server.address().port}/`, { timeout: 240000 });
  await tab.waitForFunction('window.ready === true', null, { timeout: 240000 }).catch((e) => said.push(String(e)));
  await tab.screenshot({ path: out, timeout: 240000 });
  console.log(JSON.stringify({ splats: await tab.evaluate('window.count || 0'), errors: said }));
} finally {
  await browser.close();
  server.close();
}
