// Validates glTF files with the Khronos validator: node validate.cjs MODULE_FOLDER FILE... prints one JSON report a line.
const fs = require("fs");
const path = require("path");

const [folder, ...files] = process.argv.slice(2);
const validator = require(path.join(folder, "node_modules", "gltf-validator"));

async function main() {
  for (const file of files) {
    const report = await validator.validateBytes(new Uint8Array(fs.readFileSync(file)), { uri: file });
    console.log(JSON.stringify({ file, ...report.issues }));
  }
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
