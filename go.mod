module yolofreeze

go 1.26
