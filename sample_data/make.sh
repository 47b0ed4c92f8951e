#!/bin/sh
# Make the sample products again, from any folder: sample_data/make.sh [FOLDER], with rsseg on the PATH or in RSSEG.
# The same command gives the same pixels, polygons and metadata.
set -eu
folder=${1:-$(dirname "$0")}
rsseg=${RSSEG:-rsseg}
"$rsseg" simulate -o "$folder/liss4_january" --size 440x480 --seed 2 --date 2020-01-24 --shift 400,1480 --overwrite
"$rsseg" simulate -o "$folder/liss4_march.zip" --size 440x480 --seed 2 --date 2020-03-12 --shift 540,1380 --overwrite
