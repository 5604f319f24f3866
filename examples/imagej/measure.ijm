// Counts and measures the particles of one image. Argument: IMAGE:OUTPUT_FOLDER:SIGMA
// Writes IMAGE's name with .csv, one row for each particle, into the folder.

arguments = split(getArgument(), ":");
image = arguments[0];
folder = arguments[1];
sigma = arguments[2];

setBatchMode(true);
open(image);
run("Set Scale...", "distance=0 known=0 unit=pixel");
run("Gaussian Blur...", "sigma=" + sigma);
setAutoThreshold("Otsu dark");
run("Set Measurements...", "area mean centroid redirect=None decimal=3");
run("Analyze Particles...", "size=20-Infinity pixel show=Nothing display clear");
saveAs("Results", folder + File.separator + File.nameWithoutExtension + ".csv");
